"""Sending the records while everything breaks, and knowing what is known of each."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tests.chaos.records import SPECIAL, Planned, Records

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.history import Attempt, History
    from tests.support.topics import Topics

NUMBER_HEADER: Final = "chaos-record"
PATIENCE_SECONDS: Final = 20.0
# What is sent between ordinary commands, and how often; a job that kills its process costs much time.
_OFTEN: Final = {"poison": 8, "duplicate": 4, "reply": 3, "crashing_job": 0.3, "devouring_job": 0.3, "oversize": 0.5}
_SPECIAL_SHARE: Final = 0.4


@dataclass(slots=True)
class Load:
    """Ordinary commands at ``rate`` a second unless ``busy``, specials between them, each on its own clock."""

    topics: Topics
    history: History
    seed: int
    rate: float
    busy: Callable[[], bool] = lambda: False
    _producer: AIOKafkaProducer | None = None
    _sending: set[asyncio.Task[None]] = field(default_factory=set)
    _making: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self, stopping: asyncio.Event) -> None:
        """Send until told to stop; every special once, then by chance."""
        randomness = random.Random(f"{self.seed} load")
        records = Records(randomness, self.topics.prefix)
        await self._launch(records.first())
        wishes = list(SPECIAL)
        randomness.shuffle(wishes)
        names = list(SPECIAL)
        weights = [_OFTEN.get(name, 1) for name in names]
        while not stopping.is_set():
            if not self.busy():
                await self._launch(records.ordinary())
            if randomness.random() < _SPECIAL_SHARE:
                await self._launch(records.special(wishes.pop() if wishes else randomness.choices(names, weights)[0]))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), randomness.expovariate(self.rate))
        await self.settle()

    async def settle(self) -> None:
        """Until the outcome of everything is known, or known to be unknown."""
        if self._sending:
            await asyncio.wait(self._sending, timeout=PATIENCE_SECONDS + 10)
        producer, self._producer = self._producer, None
        await _stop(producer)

    async def _launch(self, planned: Planned) -> Attempt:
        record = planned.record
        identity = None if record.source is None or record.event_id is None else (record.source, record.event_id)
        attempt = self.history.invoked(planned.what, record.kind, planned.expected, identity)
        if planned.what != "command":
            self.history.fault(f"record:{planned.what}" if planned.expected != "bad" else "record:poison")
        task = asyncio.create_task(self._send(attempt, planned))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)
        return attempt

    async def _send(self, attempt: Attempt, planned: Planned) -> None:
        record = planned.record
        headers = [*record.headers, (NUMBER_HEADER, str(attempt.number).encode())]
        key = b"" if record.key is None and record.value is None else record.key
        producer = None
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                producer = await self._connected()
                topic = self.topics.name(f"forecast.{record.kind}")
                place = await producer.send_and_wait(topic, record.value, key, record.partition, headers=headers)
        except (KafkaError, TimeoutError, OSError) as error:
            self.history.ended(attempt, "unknown" if producer is not None else "failed", error=repr(error))
            await self._discard(producer)
        else:
            attempt.place = (place.topic, place.partition, place.offset)
            self.history.ended(attempt, "ok", topic=place.topic, partition=place.partition, offset=place.offset)

    async def _connected(self) -> AIOKafkaProducer:
        async with self._making:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    bootstrap_servers=self.topics.bootstrap_servers,
                    acks="all",
                    enable_idempotence=True,
                    compression_type="gzip",
                    max_request_size=8 * 1024 * 1024,
                    request_timeout_ms=8000,
                )
                try:
                    await producer.start()
                except BaseException:
                    await _stop(producer)
                    raise
                self._producer = producer
            return self._producer

    async def _discard(self, producer: AIOKafkaProducer | None) -> None:
        if producer is not None and self._producer is producer:
            self._producer = None
            await _stop(producer)


async def _stop(producer: Any) -> None:
    if producer is not None:
        with contextlib.suppress(KafkaError, TimeoutError, OSError):
            async with asyncio.timeout(3):
                await producer.stop()
