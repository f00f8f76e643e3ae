"""Backpressure: above a limit of queued commands intake pauses, and the backlog waits in Kafka."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from consumer.errors import TransientError

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

RESUME_SHARE: Final = 0.8  # of the limit; between the two nothing changes, so that intake does not flutter
LOOK_SECONDS: Final = 1.0
SELDOM_SECONDS: Final = 10.0
REST: Final = 100  # times as long as the look took, which is as long as the queue: 25 ms with 100,000 commands


def rest_seconds(look: float) -> float:
    """How long to wait after a look that took ``look`` seconds: it costs a hundredth of the time at most.

    What arrives meanwhile comes on top of the limit: some seconds of intake, where the queue is long already.
    """
    return min(SELDOM_SECONDS, max(LOOK_SECONDS, REST * look))


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
        queue: Is asked once a second, and less often when counting takes long.
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
        self.paused = False

    async def run(self) -> None:
        """Look again and again until cancelled; while the database is away, nothing is turned."""
        time = asyncio.get_running_loop().time
        while True:
            began = time()
            try:
                await self.run_once()
            except TransientError as error:
                self._log.warning("queue_not_measured", error=str(error))
            await asyncio.sleep(rest_seconds(time() - began))

    async def run_once(self) -> bool:
        """One look; whether intake is paused after it.

        Raises:
            TransientError: The database is away.
        """
        queued = await self._queue.queued(self._limit)
        self._observed(queued)
        paused = queued >= (RESUME_SHARE * self._limit if self.paused else self._limit)
        if paused != self.paused:
            self.paused = paused
            self._tap.pause(paused=paused)
            self._log.info("intake_paused" if paused else "intake_resumed", queued=queued, limit=self._limit)
        return paused
