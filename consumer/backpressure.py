"""Backpressure: above a limit of queued commands intake pauses, and the backlog waits in Kafka."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from consumer.errors import TransientError

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

RESUME_SHARE: Final = 0.8  # of the limit; between the two nothing changes, so that intake does not flutter
LOOK_SECONDS: Final = 1.0  # between looks while intake is paused, or soon may have to be
LONGEST_SECONDS: Final = 5.0  # between looks otherwise: counting a long queue costs a tenth of a second
MOST_A_SECOND: Final = 10_000  # commands that all processes together may add to the queue


class Queue(Protocol):
    """What can say how much waits."""

    async def queued(self, at_most: int) -> int:
        """Commands that wait, counted up to ``at_most``."""
        ...


class Tap(Protocol):
    """What can be turned off without leaving the group."""

    def pause(self, *, paused: bool) -> None:
        """Stop or start the flow of records; holds over rebalances."""
        ...


class Backpressure:
    """Turns the tap by the length of the queue, with hysteresis.

    Args:
        queue: Is asked once a second, or as soon as it may have reached the limit.
        tap: Is turned off at ``limit`` queued commands and on again at 80 % of them.
        limit: In commands.
        observed: Told the length of the queue, counted up to the limit.
        log: Told every turn.
    """

    def __init__(
        self, queue: Queue, tap: Tap, limit: int, observed: Callable[[int], None], log: FilteringBoundLogger
    ) -> None:
        self._queue = queue
        self._tap = tap
        self._limit = limit
        self._observed = observed
        self._log = log
        self._room = 0
        self.paused = False

    @property
    def pause_seconds(self) -> float:
        """Until the next look."""
        if self.paused:
            return LOOK_SECONDS
        return max(LOOK_SECONDS, min(LONGEST_SECONDS, self._room / MOST_A_SECOND))

    async def run(self) -> None:
        """Look again and again until cancelled; while the database is away, nothing is turned."""
        while True:
            try:
                await self.run_once()
            except TransientError as error:
                self._log.warning("queue_not_measured", error=str(error))
            await asyncio.sleep(self.pause_seconds)

    async def run_once(self) -> bool:
        """One look; whether intake is paused after it.

        Raises:
            TransientError: The database is away.
        """
        queued = await self._queue.queued(self._limit)
        self._observed(queued)
        self._room = self._limit - queued
        paused = queued >= (RESUME_SHARE * self._limit if self.paused else self._limit)
        if paused != self.paused:
            self.paused = paused
            self._tap.pause(paused=paused)
            self._log.info("intake_paused" if paused else "intake_resumed", queued=queued, limit=self._limit)
        return paused
