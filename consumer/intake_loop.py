"""The loop around intake: read ahead, persist until it is done; exactly those offsets are committed beside the rest."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from consumer.errors import TransientError
from consumer.offset_commits import OffsetCommits
from consumer.pausing import pause
from consumer.read_ahead import ReadAhead

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from consumer.clock import Clock
    from consumer.intake import Intake, IntakeReport
    from consumer.ports.intake import RecordReader
    from consumer.read_ahead import DecodedBatch

RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)  # pauses while the database is away; the last one repeats


class IntakeLoop:
    """Owns neither the reader nor the inbox. ``persisted`` is called after each batch.

    Two things turn side by side: one batch is persisted, the next one is read (``ahead``). A batch that cannot be
    persisted holds the next, and with it the reading.
    """

    def __init__(
        self,
        reader: RecordReader,
        intake: Intake,
        persisted: Callable[[IntakeReport, float], None],
        most_records: int,
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        self._reader = reader
        self._commits = OffsetCommits(reader, log)
        self._intake = intake
        self._persisted = persisted
        self._clock = clock
        self._log = log
        self._persisting_since: float | None = None
        self.ahead = ReadAhead(reader, intake.decode, most_records, clock, log)

    @property
    def last_poll(self) -> float:
        """When Kafka last answered; monotonic."""
        return self.ahead.last_poll

    @property
    def last_turn(self) -> float:
        """When the slower of the two last tried something; monotonic. Who waits for the other is not slow."""
        tried = (self._persisting_since, self.ahead.polling_since)
        return min((since for since in tried if since is not None), default=self._clock.monotonic())

    async def run(self, stopping: asyncio.Event) -> None:
        """Read until told to stop, then leave; a batch that is not persisted by then stays in Kafka."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.ahead.run(stopping), name="read ahead")
                while not stopping.is_set():
                    await self.run_once(stopping)
                self.ahead.close()
            await self._commits.finish()
        finally:
            self._commits.cancel()
            await self._reader.leave()

    async def run_once(self, stopping: asyncio.Event) -> None:
        """One batch as soon as there is one, one transaction."""
        batch = await self.ahead.take()
        if batch.items and await self._persist(batch, stopping):
            self._commits.add(batch.next_offsets)

    async def _persist(self, batch: DecodedBatch, stopping: asyncio.Event) -> bool:
        failures = 0
        while not stopping.is_set():
            started = self._persisting_since = self._clock.monotonic()
            try:
                report = await self._intake.persist(batch.items)
            except TransientError as error:
                again_in = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
                failures += 1
                self._log.warning("batch_not_persisted", records=len(batch.items), error=str(error), again_in=again_in)
                await pause(stopping, again_in)
                continue
            self._persisting_since = None
            seconds = self._clock.monotonic() - started
            self._log.info(
                "batch_persisted",
                records=len(batch.items),
                **report.counts(),
                milliseconds=round(seconds * 1000, 1),
            )
            self._persisted(report, seconds)
            return True
        return False
