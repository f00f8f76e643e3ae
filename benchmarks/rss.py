"""``memory``: what the service's process holds when it is idle, after ten thousand commands and after a million."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

import psutil

from benchmarks.commands import blast
from benchmarks.growth import NO_LIMIT
from benchmarks.intake import ROLES
from benchmarks.measure import OURSELVES, Result, compare
from benchmarks.observer import observe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.stage import Stage

BLAST: Final = 50_000  # commands that wait in the benchmark's own memory at once
REST_SECONDS: Final = 3.0  # what a last batch has allocated is given back
WITHIN: Final = 600.0


async def measure(stage: Stage) -> list[Result]:
    """One process, looked at three times; resident memory in MB, against itself after the smaller number."""
    few, many = stage.size(10_000, 1_000), stage.size(1_000_000, 10_000)
    measured = (await stage.in_turns({"ours": partial(_one_process, stage, few, many)}))["ours"]
    return [
        compare("memory", OURSELVES, f"MB after {many:,} commands", measured["many"], measured["few"]),
        compare("memory", OURSELVES, "MB idle", measured["idle"], measured["few"]),
    ]


async def _one_process(stage: Stage, few: int, many: int) -> Mapping[str, float]:
    async with (
        stage.place() as place,
        observe(place) as observer,
        stage.process(place, settings={**ROLES, **NO_LIMIT}) as process,
    ):
        await process.ready()
        held = psutil.Process(process.pid)
        await asyncio.sleep(REST_SECONDS)
        numbers = {"idle": held.memory_info().rss / 1e6}
        sent = 0
        for name, total in (("few", few), ("many", many)):
            while sent < total:
                part = min(BLAST, total - sent)
                await blast(stage.bootstrap_servers, place.topics.predict, part)
                sent += part
                await process.meanwhile(observer.acknowledged(sent, WITHIN))
            await asyncio.sleep(REST_SECONDS)
            numbers[name] = held.memory_info().rss / 1e6
        await observer.rows(sent)
        return numbers
