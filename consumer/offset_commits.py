"""Offsets of persisted records on their way to Kafka, beside the reading and persisting of the next ones."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from consumer.errors import OffsetsLostError, TransientError
from consumer.failpoints import reach
from consumer.pausing import pause

if TYPE_CHECKING:
    from collections.abc import Mapping

    from structlog.typing import FilteringBoundLogger

    from consumer.ports.intake import RecordReader


AGAIN_SECONDS = 1.0  # before a commit that the cluster has not taken is asked for again


class OffsetCommits:
    """One request at a time; what is persisted meanwhile goes with the next. Owns the task of that request.

    A broker groups commits and answers after some milliseconds, for which the next batch need not wait: a commit that
    comes late, or never, costs nothing but duplicates. One that the cluster has not taken is asked for again, as the
    last batch of a day has none behind it that would cover its offsets, and who watches the lag would wait for ever.
    """

    def __init__(self, reader: RecordReader, log: FilteringBoundLogger) -> None:
        self._reader = reader
        self._log = log
        self._due: dict[tuple[str, int], int] = {}
        self._leaving = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def add(self, next_offsets: Mapping[tuple[str, int], int]) -> None:
        """Commit the offsets after a batch whose records are all durable."""
        self._due.update(next_offsets)
        if self._task is None or self._task.done():
            if self._task is not None:
                self._task.result()  # a fault that nobody foresaw is the loop's own
            self._task = asyncio.create_task(self._commit_due(), name="commit offsets")

    async def finish(self) -> None:
        """Wait until everything is committed or has failed, as long as the reader lets its requests take."""
        self._leaving.set()
        if self._task is not None:
            await self._task

    def cancel(self) -> None:
        """Give up what is under way."""
        if self._task is not None:
            self._task.cancel()

    async def _commit_due(self) -> None:
        while self._due:
            offsets, self._due = self._due, {}
            reach("before_offset_commit")
            if not await self._committed(offsets):
                # What was persisted meanwhile is further on.
                self._due = {**offsets, **self._due}

    async def _committed(self, offsets: Mapping[tuple[str, int], int]) -> bool:
        """Commit once; False if that is to be tried again, after a pause."""
        generation = self._reader.generation
        try:
            await self._reader.commit(offsets)
        except OffsetsLostError as error:
            self._log.warning("offsets_not_committed", error=str(error))
        except TransientError as error:
            self._log.warning("offsets_not_committed", error=str(error), again_in=AGAIN_SECONDS)
            await pause(self._leaving, AGAIN_SECONDS)
            # Who has the partitions since may be further than we were.
            return self._leaving.is_set() or self._reader.generation != generation
        return True
