"""The reading half of intake: the next batch is polled and decoded while the one before it is being persisted."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from consumer.errors import TransientError
from consumer.pausing import pause

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from structlog.typing import FilteringBoundLogger

    from consumer.clock import Clock
    from consumer.ports.intake import RecordReader
    from consumer.received import Received, Refused
    from schemas.records import RawRecord

    Decode = Callable[[Sequence[RawRecord]], Awaitable[list[Received | Refused]]]

MOST_BYTES: Final = 8 * 1024 * 1024  # of values in a batch; the poll that passes it is the last one for it
AGAIN_SECONDS: Final = 1.0  # after a poll that failed


@dataclass(slots=True)
class DecodedBatch:
    """What one transaction is to persist, and per topic and partition the offset that follows it."""

    items: list[Received | Refused] = field(default_factory=list)
    next_offsets: dict[tuple[str, int], int] = field(default_factory=dict)
    bytes: int = 0


class ReadAhead:
    """Holds one batch and no more: polls add to it until it is taken or full.

    Adding to it costs nothing: what came while a batch was being persisted goes out together, instead of waiting in
    the client for its turn. Polls stand in the order of the log, so a batch that is persisted leaves no gap before its
    offsets, also when the reader had to begin anew in between and read some records twice. Who drops a batch must
    leave the group, for the next commit would pass over it.
    """

    def __init__(
        self, reader: RecordReader, decode: Decode, most_records: int, clock: Clock, log: FilteringBoundLogger
    ) -> None:
        self._reader = reader
        self._decode = decode
        self._most_records = most_records
        self._clock = clock
        self._log = log
        self._batch = DecodedBatch()
        self._came, self._room = asyncio.Event(), asyncio.Event()
        self._room.set()
        self.polling_since: float | None = None  # monotonic; None while there is no room
        self.last_poll = clock.monotonic()  # when Kafka last answered

    @property
    def holds(self) -> int:
        """Records of the batch so far."""
        return len(self._batch.items)

    async def run(self, stopping: asyncio.Event) -> None:
        """Poll until told to stop; ``close`` ends the waiting for room."""
        while not stopping.is_set():
            await self.run_once(stopping)
            await self._room.wait()
        self._came.set()

    async def run_once(self, stopping: asyncio.Event) -> int:
        """One poll, decoded and added to the batch; how many records it was."""
        self.polling_since = self._clock.monotonic()
        try:
            polled = await self._reader.poll(self._most_records - self.holds)
        except TransientError as error:
            self._log.warning("poll_failed", error=str(error))
            await pause(stopping, AGAIN_SECONDS)
            return 0
        self.last_poll = self._clock.monotonic()
        if not polled.records:
            return 0
        decoded = await self._decode(polled.records)
        batch = self._batch
        batch.items += decoded
        batch.next_offsets |= polled.next_offsets
        batch.bytes += sum(len(raw.value or b"") for raw in polled.records)
        self._came.set()
        if self.holds >= self._most_records or batch.bytes >= MOST_BYTES:
            self._room.clear()
            self.polling_since = None
        return len(decoded)

    async def take(self) -> DecodedBatch:
        """Everything that was read; waits until there is something, and is empty only after the end of ``run``."""
        await self._came.wait()
        batch, self._batch = self._batch, DecodedBatch()
        self._came.clear()
        self._room.set()
        return batch

    def close(self) -> None:
        """Wait for room no longer."""
        self._room.set()
