"""``growth``: intake and claims while the tables hold a thousand, a hundred thousand, a million finished commands."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Final

import asyncpg

from benchmarks.commands import blast
from benchmarks.filling import fill, settle
from benchmarks.intake import ROLES
from benchmarks.measure import OURSELVES, Result, compare
from benchmarks.observer import observe
from consumer.clock import SystemClock
from consumer.db.database import Database
from consumer.db.queue import SqlCommandQueue
from consumer.outbound import Composer
from consumer.settings import Settings
from consumer.wiring import topics_of
from tests.support.databases import temporary_database

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.stage import Stage

FULL: Final = (1_000, 100_000, 1_000_000)
QUICK: Final = (1_000, 5_000, 20_000)
NO_LIMIT: Final = {"FORECAST_MAX_QUEUED": "100000000"}  # the queue is full on purpose, and intake is to go on
CLAIMED: Final = 10  # commands of one claim
WITHIN: Final = 120.0
_END: Final = "UPDATE forecast_consumer.command SET state = 'done', finished_at = now() WHERE state = 'running'"


async def measure(stage: Stage) -> list[Result]:
    """Every size against the smallest: intake commands/s and claims/s."""
    sizes, queued = (QUICK if stage.quick else FULL), stage.size(100_000, 2_000)
    async with AsyncExitStack() as stack:
        rounds = {}
        for size in sizes:
            url = await stack.enter_async_context(temporary_database(stage.server_url, stage.template))
            await fill(url, finished=size, queued=queued)
            await settle(url)
            rounds[str(size)] = partial(_both, stage, url.rsplit("/", 1)[1], size + queued)
        measured = await stage.in_turns(rounds)
    return [
        compare(
            "growth", OURSELVES, f"{key}, {size:,} finished", measured[str(size)][key], measured[str(sizes[0])][key]
        )
        for key in ("commands/s", "claimed/s")
        for size in sizes[1:]
    ]


async def _both(stage: Stage, template: str, before: int) -> Mapping[str, float]:
    count = stage.size(20_000, 2_000)
    async with stage.place(template=template) as place, observe(place) as observer:
        claimed = await _claims(place.url, stage.size(5_000, 500))
        async with stage.process(place, settings={**ROLES, **NO_LIMIT}) as process:
            await process.meanwhile(observer.assigned())
            started = time.perf_counter()
            await blast(stage.bootstrap_servers, place.topics.predict, count)
            await process.meanwhile(observer.acknowledged(count, WITHIN))
            seconds = time.perf_counter() - started
            await observer.rows(before + count)
    return {"commands/s": count / seconds, "claimed/s": claimed}


async def _claims(url: str, count: int) -> float:
    """Claimed commands a second, by nobody but us; what was claimed ends before the next claim, as in a worker."""
    connection = await asyncpg.connect(url, timeout=15)
    async with Database.open(url) as database:
        queue = SqlCommandQueue(
            database,
            Composer(topics_of(Settings())),
            SystemClock(),
            lambda _: None,
            owner="benchmark",
            lease_seconds=600.0,
        )
        await queue.claim(1)
        claimed, seconds = 0, 0.0
        while claimed < count:
            started = time.perf_counter()
            claimed += len(await queue.claim(CLAIMED))
            seconds += time.perf_counter() - started
            await connection.execute(_END)
    await connection.execute("TRUNCATE forecast_consumer.outbox")  # nobody has published their events
    await connection.close(timeout=5)
    return claimed / seconds
