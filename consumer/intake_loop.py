"""The loop around intake: poll, persist until it is done; exactly those offsets are committed beside the next poll."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from consumer.errors import TransientError
from consumer.offset_commits import OffsetCommits

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from consumer.clock import Clock
    from consumer.intake import Intake, IntakeReport
    from consumer.ports import Batch, RecordReader

RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)  # pauses while the database is away; the last one repeats


class IntakeLoop:
    """Owns neither the reader nor the inbox. ``persisted`` is called after each batch.

    ``last_poll`` is when Kafka last answered, ``last_turn`` when anything was last tried; both monotonic.
    """

    def __init__(
        self,
        reader: RecordReader,
        intake: Intake,
        persisted: Callable[[IntakeReport, float], None],
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        self._reader = reader
        self._commits = OffsetCommits(reader, log)
        self._intake = intake
        self._persisted = persisted
        self._clock = clock
        self._log = log
        self.last_poll = self.last_turn = clock.monotonic()

    async def run(self, stopping: asyncio.Event) -> None:
        """Read until told to stop, then leave; a batch that cannot be persisted by then stays in Kafka."""
        try:
            while not stopping.is_set():
                await self.run_once(stopping)
            await self._commits.finish()
        finally:
            self._commits.cancel()
            await self._reader.leave()

    async def run_once(self, stopping: asyncio.Event) -> int:
        """One poll, one transaction; how many records it was."""
        self.last_turn = self._clock.monotonic()
        try:
            batch = await self._reader.poll()
        except TransientError as error:
            self._log.warning("poll_failed", error=str(error))
            await _pause(stopping, RETRY_SECONDS[2])
            return 0
        self.last_poll = self._clock.monotonic()
        if batch.records and await self._persist(batch, stopping):
            self._commits.add(batch)
        return len(batch.records)

    async def _persist(self, batch: Batch, stopping: asyncio.Event) -> bool:
        failures = 0
        while not stopping.is_set():
            started = self.last_turn = self._clock.monotonic()
            try:
                report = await self._intake.take(batch.records)
            except TransientError as error:
                pause = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
                failures += 1
                self._log.warning("batch_not_persisted", records=len(batch.records), error=str(error), again_in=pause)
                await _pause(stopping, pause)
                continue
            seconds = self._clock.monotonic() - started
            self._log.info(
                "batch_persisted",
                records=len(batch.records),
                **report.counts(),
                milliseconds=round(seconds * 1000, 1),
            )
            self._persisted(report, seconds)
            return True
        return False


async def _pause(stopping: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        return
