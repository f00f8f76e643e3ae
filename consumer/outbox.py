"""The relay: reads the outbox, publishes in order, deletes what the broker has acknowledged.

One relay is active at a time; another takes over when its lease runs out. A relay that froze and wakes up later may
publish a message again: the same bytes with the same ``ce_id``, in the same order, which readers drop.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from consumer.errors import PublishError, RecordRefusedError, TransientError
from consumer.failpoints import reach

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from consumer.clock import Clock
    from consumer.ports import Outbox, Publisher


@dataclass(frozen=True, slots=True)
class RelayOptions:
    """Seconds, but for ``batch``: messages of one round.

    Whoever commits messages in this process wakes the relay. Those of other processes are looked for, every
    ``poll_seconds`` as long as there were some within ``busy_seconds``, else every ``idle_seconds``.
    """

    batch: int = 1000
    lease_seconds: float = 4.0
    poll_seconds: float = 0.05
    idle_seconds: float = 0.25
    busy_seconds: float = 2.0
    linger_seconds: float = 0.004
    error_pause_seconds: float = 1.0


class Relay:
    """Owns no resource; its outbox and publisher are closed by who made them."""

    def __init__(
        self,
        outbox: Outbox,
        publisher: Publisher,
        options: RelayOptions,
        published: Callable[[int], None],
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        self._outbox = outbox
        self._publisher = publisher
        self._options = options
        self._published = published
        self._clock = clock
        self._log = log
        self._wake = asyncio.Event()
        self._held_until = 0.0
        self._busy_until = 0.0
        self.last_round = self.last_turn = clock.monotonic()

    def wake(self) -> None:
        """Look now: something in this process has just committed messages."""
        self._wake.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Publish until told to stop and the outbox is empty; our caller bounds that with its grace."""
        while not stopping.is_set():
            await self._round_or_pause()
        while await self._round_or_pause():
            pass

    async def run_once(self) -> int:
        """Publish one batch if this is the active relay; how many messages left the outbox.

        Raises:
            TransientError: The database is away.
            PublishError: The broker did not acknowledge everything; what it did is deleted.
        """
        if not await self._hold():
            return 0
        pending = await self._outbox.pending(self._options.batch)
        if not pending:
            return 0
        outcomes = await self._publisher.publish([message for _, message in pending])
        acknowledged = [row for (row, _), outcome in zip(pending, outcomes, strict=True) if outcome is None]
        if acknowledged:
            reach("before_outbox_delete")
            await self._outbox.delete(acknowledged)
            self._published(len(acknowledged))
        for (row, message), outcome in zip(pending, outcomes, strict=True):
            if isinstance(outcome, RecordRefusedError):
                self._log.error("message_parked", event_id=message.event_id, topic=message.topic, error=str(outcome))
                await self._outbox.park(row, str(outcome))
        unknown = next((outcome for outcome in outcomes if isinstance(outcome, PublishError)), None)
        if unknown is not None:
            raise unknown
        return len(pending)

    async def _hold(self) -> bool:
        """Prolong the lease when half of it is gone, not on every round."""
        now = self._clock.monotonic()
        if now < self._held_until:
            return True
        if not await self._outbox.hold(self._options.lease_seconds):
            return False
        self._held_until = now + self._options.lease_seconds / 2
        return True

    async def _round_or_pause(self) -> int:
        self._wake.clear()
        self.last_turn = self._clock.monotonic()
        try:
            published = await self.run_once()
        except (TransientError, PublishError) as error:
            self._log.warning("relay_round_failed", error=str(error))
            await asyncio.sleep(self._options.error_pause_seconds)
            return 0
        self.last_round = self._clock.monotonic()
        if published:
            self._busy_until = self.last_round + self._options.busy_seconds
        else:
            await self._pause()
        return published

    def _poll_seconds(self) -> float:
        options = self._options
        busy = self._clock.monotonic() < self._busy_until
        return options.poll_seconds if busy else max(options.poll_seconds, options.idle_seconds)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._poll_seconds()):
                await self._wake.wait()
        except TimeoutError:
            return
        # What is committed within a few milliseconds goes out together: one read and one delete for all of it.
        await asyncio.sleep(self._options.linger_seconds)
