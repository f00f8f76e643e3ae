"""Commands at a steady rate, and when each one's answer is seen; producer and subscriber are the same for all sides."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from benchmarks.commands import predict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmarks.stage import Place

PATIENCE_SECONDS: Final = 30.0
WARM_UP: Final = 20  # commands that open every connection before anything counts


@dataclass(frozen=True, slots=True)
class Traveller:
    """``identity`` is the header of an answer that names the command; use ``travel``."""

    producer: Any
    consumer: Any
    topic: str
    identity: str
    seen: dict[bytes, float] = field(default_factory=dict)

    async def milliseconds(self, rate: int, count: int) -> list[float]:
        """From each command's send to the poll that gave its answer.

        Raises:
            TimeoutError: An answer did not come.
        """
        listening = asyncio.create_task(self._listen(len(self.seen) + count))
        sent: dict[bytes, float] = {}
        try:
            begun = time.perf_counter()
            for number in range(count):
                await asyncio.sleep(max(0.0, begun + number / rate - time.perf_counter()))
                key, value, headers = predict(number)
                sent[key] = time.perf_counter()
                await self.producer.send(self.topic, value, key, headers=headers)
            async with asyncio.timeout(PATIENCE_SECONDS):
                await listening
        finally:
            listening.cancel()
        return [1000 * (self.seen[identity] - start) for identity, start in sent.items()]

    async def _listen(self, count: int) -> None:
        while len(self.seen) < count:
            fetched = await self.consumer.getmany(timeout_ms=1000)
            now = time.perf_counter()
            for records in fetched.values():
                for record in records:
                    self.seen.setdefault(dict(record.headers)[self.identity], now)


@asynccontextmanager
async def travel(place: Place, answers: str, identity: str) -> AsyncIterator[Traveller]:
    """Commands to the predict topic, answers from another one or from the same; warmed up."""
    servers = {"bootstrap_servers": place.topics.bootstrap_servers}
    producer = AIOKafkaProducer(**servers, acks="all", enable_idempotence=True)
    consumer = AIOKafkaConsumer(**servers, auto_offset_reset="earliest")
    await producer.start()
    try:
        await consumer.start()
        consumer.assign([TopicPartition(answers, number) for number in range(place.partitions)])
        traveller = Traveller(producer, consumer, place.topics.predict, identity)
        await traveller.milliseconds(WARM_UP, WARM_UP)
        yield traveller
    finally:
        await consumer.stop()
        await producer.stop()
