"""``ack_p50`` and ``ack_p99``: from produce to PENDENTE at the subscriber, at three rates.

The floor's subscriber reads the very topic that was produced to: a bare round trip on the same broker.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final

import asyncpg
import numpy as np

from benchmarks.intake import ROLES
from benchmarks.measure import Result, compare
from benchmarks.observer import observe
from benchmarks.travel import Traveller, travel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.stage import Stage

RATES: Final = (10, 100, 1000)  # commands a second
PERCENTILES: Final = (50, 99)
COMMITS: Final = 300


async def measure(stage: Stage) -> list[Result]:
    """Ours against the bare round trip, milliseconds."""
    rounds = {"ours": partial(_ours, stage), "floor": partial(_floor, stage)}
    measured = await stage.in_turns(rounds)
    stage.progress.say(
        f"  one commit of PostgreSQL: median of the rounds' p99 {measured['floor']['commit p99'].median} ms"
    )
    return [
        compare(f"ack_p{percentile}", "floor", f"ms at {rate}/s", *(measured[side][key] for side in rounds))
        for percentile in PERCENTILES
        for rate in RATES
        for key in (f"p{percentile} at {rate}/s",)
    ]


async def _ours(stage: Stage) -> Mapping[str, float]:
    async with stage.place() as place, observe(place) as observer, stage.process(place, settings=ROLES) as process:
        await process.meanwhile(observer.assigned())
        async with travel(place, place.topics.status, "ce_causationid") as traveller:
            return await process.meanwhile(_all_rates(stage, traveller))


async def _floor(stage: Stage) -> Mapping[str, float]:
    async with stage.place() as place:
        async with travel(place, place.topics.predict, "ce_id") as traveller:
            travelled = await _all_rates(stage, traveller)
        return travelled | {"commit p99": await _commit(place.url)}


async def _all_rates(stage: Stage, traveller: Traveller) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for rate in RATES:
        times = await traveller.milliseconds(rate, rate * stage.size(10, 2))
        percentiles = np.percentile(times, PERCENTILES)
        numbers |= {f"p{one} at {rate}/s": float(time) for one, time in zip(PERCENTILES, percentiles, strict=True)}
    return numbers


async def _commit(url: str) -> float:
    """p99 of a transaction of one row, in milliseconds: the goal allows for one."""
    connection = await asyncpg.connect(url)
    times: list[float] = []
    try:
        await connection.execute("CREATE TABLE small (number int)")
        for number in range(COMMITS):
            started = time.perf_counter()
            await connection.execute("INSERT INTO small VALUES ($1)", number)
            times.append(1000 * (time.perf_counter() - started))
    finally:
        await connection.close()
    return float(np.percentile(times, 99))
