"""``intake``: commands on Kafka until they are rows, PENDENTE is acknowledged and the offsets are committed.

The service runs as in production, with the roles intake and relay. Everybody has worked a little before: connections
are open, statements are known. Then the clock runs from the first command that librdkafka sends until the last is done.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks.commands import blast, predict
from benchmarks.measure import Result, compare
from benchmarks.observer import observe
from benchmarks.stage import SERVICE, Stage, module

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.commands import Message

WITHIN: Final = 120.0
WARMING: Final = 300
ROLES: Final = {"FORECAST_ROLES": "intake,relay"}


@dataclass(frozen=True, slots=True)
class Contestant:
    """How a process is started, and what it gets."""

    command: tuple[str, ...]
    full: int
    quick: int
    message: Callable[[int], Message] = predict
    commits: bool = True


async def measure(stage: Stage) -> list[Result]:
    """Ours against every peer, commands/s of one process."""
    contestants = {
        "ours": Contestant(SERVICE, 50_000, 3_000),
        "floor": Contestant(module("peers.floor"), 50_000, 3_000),
        "faststream": Contestant(module("peers.faststream", "one"), 3_000, 300),
        "faststream_batch": Contestant(module("peers.faststream", "batch"), 50_000, 3_000),
        "taskiq": Contestant(module("peers.taskiq"), 3_000, 300, _taskiq_message, commits=False),
    }
    rounds = {name: partial(_one_round, stage, contestant) for name, contestant in contestants.items()}
    measured = await stage.in_turns(rounds)
    peers = [name for name in contestants if name != "ours"]
    return [compare("intake", peer, "commands/s", measured["ours"]["rate"], measured[peer]["rate"]) for peer in peers]


async def _one_round(stage: Stage, contestant: Contestant) -> Mapping[str, float]:
    count = stage.size(contestant.full, contestant.quick)
    async with (
        stage.place() as place,
        observe(place) as observer,
        stage.process(place, contestant.command, ROLES) as process,
    ):
        await process.meanwhile(observer.assigned())
        done, seconds = 0, 0.0
        for some in (WARMING, count):
            done += some
            started = time.perf_counter()
            await blast(stage.bootstrap_servers, place.topics.predict, some, contestant.message)
            await process.meanwhile(observer.acknowledged(done, WITHIN, commits=contestant.commits))
            seconds = time.perf_counter() - started
        await observer.rows(done)
    return {"rate": count / seconds}


def _taskiq_message(number: int) -> Message:
    from benchmarks.peers.taskiq import task_message  # noqa: PLC0415 - a peer that is not there spares the others

    return task_message(number)
