"""``step_log``: step events from executions to the subscriber, beside a bare COPY-out of such rows and their sending.

Ours includes what makes the events: transactions of a hundred each, under the fence, with the rows of the step log.
"""

from __future__ import annotations

import asyncio
import csv
import io
import time
from functools import partial
from typing import TYPE_CHECKING, Final

import asyncpg
from aiokafka import AIOKafkaProducer

from benchmarks.filling import fill
from benchmarks.measure import Result, compare
from benchmarks.noop import SETTINGS
from benchmarks.observer import observe, until
from benchmarks.services.step_log import EVENTS
from benchmarks.stage import module

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.stage import Stage

WITHIN: Final = 180.0
WARMING: Final = 10  # executions before the clock starts, one for each connection: the floor has its own open, too
HEADERS: Final = [("ce_specversion", b"1.0"), ("ce_type", b"forecast.step-log"), ("content-type", b"application/json")]
_FILL: Final = """
    INSERT INTO forecast_consumer.outbox (event_id, topic, key, value, headers)
    SELECT 'e' || number, 'step', convert_to((number % 16)::text, 'UTF8'), convert_to(rpad('{', 500, 'x'), 'UTF8'),
           convert_to(rpad('[', 450, 'x'), 'UTF8')
      FROM generate_series(1, $1::int) AS number"""
_COPY: Final = """
    SELECT convert_from(key, 'UTF8'), convert_from(value, 'UTF8'), convert_from(headers, 'UTF8')
      FROM forecast_consumer.outbox ORDER BY id"""


async def measure(stage: Stage) -> list[Result]:
    """Ours against the floor, events/s."""
    measured = await stage.in_turns({"ours": partial(_ours, stage), "floor": partial(_floor, stage)})
    return [compare("step_log", "floor", "events/s", measured["ours"]["rate"], measured["floor"]["rate"])]


async def _ours(stage: Stage) -> Mapping[str, float]:
    executions = stage.size(100, 2)
    before, events = WARMING * EVENTS, executions * EVENTS
    async with (
        stage.place() as place,
        observe(place) as observer,
        stage.process(place, module("services.step_log"), SETTINGS) as process,
    ):
        await process.ready()

        async def warm() -> bool:
            return await observer.records(place.topics.step_log) >= before

        async def all_there() -> bool:
            return await observer.records(place.topics.step_log) >= before + events

        await fill(place.url, queued=WARMING, label="warming-")
        await process.meanwhile(until(warm, f"{before} step events", WITHIN))
        await fill(place.url, queued=executions)
        started = time.perf_counter()
        await process.meanwhile(until(all_there, f"{events} step events", WITHIN))
        return {"rate": events / (time.perf_counter() - started)}


async def _floor(stage: Stage) -> Mapping[str, float]:
    events = stage.size(100, 2) * EVENTS
    async with stage.place() as place:
        connection = await asyncpg.connect(place.url)
        await connection.execute(_FILL, events)
        producer = AIOKafkaProducer(
            bootstrap_servers=stage.bootstrap_servers, acks="all", enable_idempotence=True, max_batch_size=256 * 1024
        )
        await producer.start()
        started = time.perf_counter()
        copied = io.BytesIO()
        await connection.copy_from_query(_COPY, output=copied, format="csv")
        sent = [
            await producer.send(place.topics.step_log, value.encode(), key.encode(), headers=HEADERS)
            for key, value, _ in csv.reader(io.StringIO(copied.getvalue().decode()))
        ]
        await asyncio.gather(*sent)
        seconds = time.perf_counter() - started
        await producer.stop()
        await connection.close()
    return {"rate": len(sent) / seconds}
