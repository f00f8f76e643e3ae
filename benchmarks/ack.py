"""``ack_p50`` and ``ack_p99``: from produce to PENDENTE at the subscriber, at three rates.

Producer and subscriber are the same for both sides; the floor's subscriber reads the very topic that was produced to.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

import asyncpg
import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.commands import predict
from benchmarks.intake import ROLES
from benchmarks.measure import Result, alternate, compare
from benchmarks.observer import observe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.stage import Place, Stage

RATES: Final = (10, 100, 1000)  # commands a second
PERCENTILES: Final = (50, 99)
PATIENCE_SECONDS: Final = 30.0
COMMITS: Final = 300
WARM_UP: Final = 20  # commands that open every connection before the clock counts


@dataclass(slots=True)
class Travel:
    """When each command was sent and its answer seen, by the command's id."""

    sent: dict[bytes, float] = field(default_factory=dict)
    seen: dict[bytes, float] = field(default_factory=dict)

    def milliseconds(self) -> list[float]:
        """Of all that were answered."""
        return [1000 * (self.seen[identity] - begun) for identity, begun in self.sent.items() if identity in self.seen]


async def measure(stage: Stage) -> list[Result]:
    """Ours against the bare round trip, milliseconds."""
    rounds = {"ours": partial(_ours, stage), "floor": partial(_floor, stage)}
    measured = await alternate(rounds, stage.rounds)
    print(f"  one commit of PostgreSQL: median of the rounds' p99 {measured['floor']['commit p99'].median} ms")
    return [
        compare(f"ack_p{percentile}", "floor", f"ms at {rate}/s", *(measured[side][key] for side in rounds))
        for percentile in PERCENTILES
        for rate in RATES
        for key in (f"p{percentile} at {rate}/s",)
    ]


async def _ours(stage: Stage) -> Mapping[str, float]:
    async with stage.place() as place, observe(place) as observer, stage.process(place, settings=ROLES) as process:
        await process.meanwhile(observer.assigned())
        answer = place.topics.status, b"ce_causationid"
        return await process.meanwhile(_all_rates(stage, place, *answer))


async def _floor(stage: Stage) -> Mapping[str, float]:
    async with stage.place() as place:
        travelled = await _all_rates(stage, place, place.topics.predict, b"ce_id")
        return travelled | {"commit p99": await _commit(place.url)}


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


async def _all_rates(stage: Stage, place: Place, answers: str, identity: bytes) -> dict[str, float]:
    servers = {"bootstrap_servers": stage.bootstrap_servers}
    producer = AIOKafkaProducer(**servers, acks="all", enable_idempotence=True)
    consumer = AIOKafkaConsumer(**servers, auto_offset_reset="earliest")
    await producer.start()
    try:
        await consumer.start()
        consumer.assign([TopicPartition(answers, number) for number in range(place.partitions)])
        await _travel(producer, consumer, place.topics.predict, identity.decode(), WARM_UP, WARM_UP)
        numbers: dict[str, float] = {}
        for rate in RATES:
            count = int(rate * stage.size(10, 2))
            travel = await _travel(producer, consumer, place.topics.predict, identity.decode(), rate, count)
            times = np.percentile(travel.milliseconds(), PERCENTILES)
            numbers |= {f"p{one} at {rate}/s": float(time) for one, time in zip(PERCENTILES, times, strict=True)}
        return numbers
    finally:
        await consumer.stop()
        await producer.stop()


async def _travel(
    producer: AIOKafkaProducer, consumer: AIOKafkaConsumer, topic: str, identity: str, rate: int, count: int
) -> Travel:
    """Send at a rate, and note when each answer comes.

    Raises:
        TimeoutError: An answer did not come.
    """
    travel = Travel()
    listening = asyncio.create_task(_listen(consumer, travel, identity, count))
    try:
        begun = time.perf_counter()
        for number in range(count):
            await asyncio.sleep(max(0.0, begun + number / rate - time.perf_counter()))
            key, value, headers = predict(number)
            travel.sent[key] = time.perf_counter()
            await producer.send(topic, value, key, headers=headers)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await listening
    finally:
        listening.cancel()
    return travel


async def _listen(consumer: AIOKafkaConsumer, travel: Travel, identity: str, count: int) -> None:
    while len(travel.seen) < count:
        fetched = await consumer.getmany(timeout_ms=1000)
        now = time.perf_counter()
        for records in fetched.values():
            for record in records:
                travel.seen.setdefault(dict(record.headers)[identity], now)
