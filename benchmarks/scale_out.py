"""``scale_out``: intake and no-op executions with 1, 2 and 4 processes, and what each command costs the database.

Every process has had some commands before: opening its connections costs the database some 15 ms each, once.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks.commands import blast
from benchmarks.cpu import server_seconds
from benchmarks.filling import fill
from benchmarks.intake import ROLES
from benchmarks.measure import OURSELVES, Result, compare
from benchmarks.noop import SETTINGS
from benchmarks.observer import observe
from benchmarks.stage import SERVICE, module

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.stage import Place, Stage
    from tests.e2e.service_process import ServiceProcess

PROCESSES: Final = (1, 2, 4)
PARTITIONS: Final = 12
WITHIN: Final = 300.0
WARM: Final = {"intake": 1_000, "noop": 40}  # commands of each process before the clock starts


async def measure(stage: Stage) -> list[Result]:
    """Several processes against one: total rate, and microseconds of the database's processors per command."""
    results: list[Result] = []
    for work, contestant in (("intake", _intake), ("noop", _noop)):
        rounds = {str(number): partial(contestant, stage, number) for number in PROCESSES}
        measured = await stage.in_turns(rounds)
        for key, unit in (("rate", f"{work}/s"), ("database CPU", f"us of database CPU per {work}")):
            results += [
                compare("scale_out", OURSELVES, f"{unit}, {number} processes", measured[str(number)][key], alone[key])
                for alone in (measured["1"],)
                for number in PROCESSES[1:]
            ]
    return results


async def _intake(stage: Stage, processes: int) -> Mapping[str, float]:
    count = stage.size(20_000, 3_000)
    async with stage.place(PARTITIONS) as place, observe(place) as observer, AsyncExitStack() as stack:
        started_up = await _start(stage, place, processes, stack, SERVICE, ROLES)
        await observer.assigned(processes)
        warm = WARM["intake"] * processes
        await blast(stage.bootstrap_servers, place.topics.predict, warm)
        await started_up[0].meanwhile(observer.acknowledged(warm, WITHIN))
        cpu, started = server_seconds(stage.postgres_pid), time.perf_counter()
        await blast(stage.bootstrap_servers, place.topics.predict, count)
        await started_up[0].meanwhile(observer.acknowledged(warm + count, WITHIN))
        seconds = time.perf_counter() - started
        await observer.rows(warm + count)
        return _numbers(count, seconds, server_seconds(stage.postgres_pid) - cpu)


async def _noop(stage: Stage, processes: int) -> Mapping[str, float]:
    count = stage.size(1_000, 40)
    async with stage.place(PARTITIONS) as place, observe(place) as observer, AsyncExitStack() as stack:
        started_up = await _start(stage, place, processes, stack, module("services.noop"), SETTINGS)
        await asyncio.gather(*(process.ready() for process in started_up))
        warm = WARM["noop"] * processes
        await fill(place.url, queued=warm, label="warm-")
        await started_up[0].meanwhile(observer.drained(WITHIN))
        await fill(place.url, queued=count)
        cpu, started = server_seconds(stage.postgres_pid), time.perf_counter()
        await started_up[0].meanwhile(observer.drained(WITHIN))
        seconds = time.perf_counter() - started
        await observer.concluded(warm + count)
        return _numbers(count, seconds, server_seconds(stage.postgres_pid) - cpu)


async def _start(
    stage: Stage,
    place: Place,
    processes: int,
    stack: AsyncExitStack,
    command: tuple[str, ...],
    settings: dict[str, str],
) -> list[ServiceProcess]:
    return [await stack.enter_async_context(stage.process(place, command, settings)) for _ in range(processes)]


def _numbers(count: int, seconds: float, cpu: float) -> dict[str, float]:
    return {"rate": count / seconds, "database CPU": cpu / count * 1e6}
