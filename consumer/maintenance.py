"""Retention: finished commands and their identities are kept longer than the topics, then pruned in small batches.

What else grows with time, parked messages among it, is kept as long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from consumer.errors import TransientError
from consumer.pausing import pause

if TYPE_CHECKING:
    import asyncio

    from structlog.typing import FilteringBoundLogger

BATCH: Final = 1000  # rows of one short transaction
BREATH_SECONDS: Final = 0.05  # between batches: pruning never competes with work


class Archive(Protocol):
    """What can be pruned."""

    async def prune(self, keep_days: float, limit: int) -> int:
        """Delete at most about ``limit`` rows of each kind that are older; how many went. 0: nothing is left."""
        ...


class Maintenance:
    """Any number of processes may prune; they skip what another has locked."""

    def __init__(self, archive: Archive, keep_days: float, interval_seconds: float, log: FilteringBoundLogger) -> None:
        self._archive = archive
        self._keep_days = keep_days
        self._interval = interval_seconds
        self._log = log

    async def run(self, stopping: asyncio.Event) -> None:
        """Prune everything that is old, again and again until told to stop."""
        while not stopping.is_set():
            try:
                pruned = await self.run_once(stopping)
            except TransientError as error:
                self._log.warning("pruning_failed", error=str(error))
            else:
                if pruned:
                    self._log.info("pruned", rows=pruned, older_than_days=self._keep_days)
            await pause(stopping, self._interval)

    async def run_once(self, stopping: asyncio.Event) -> int:
        """Batch after batch until nothing old is left; how many rows went.

        Raises:
            TransientError: The database is away, or files that are to be pruned cannot be read.
        """
        total = 0
        while not stopping.is_set():
            pruned = await self._archive.prune(self._keep_days, BATCH)
            total += pruned
            if not pruned:
                break
            await pause(stopping, BREATH_SECONDS)
        return total
