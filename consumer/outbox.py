"""The relay: reads the outbox, publishes in order, deletes what the broker has acknowledged.

One relay is active at a time; another takes over when its lease runs out. A relay that froze and wakes up later may
publish a message again: the same bytes with the same ``ce_id``, in the same order, which readers drop.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from consumer.errors import PublishError, TransientError
from consumer.failpoints import reach
from consumer.in_flight import InFlight, Round
from consumer.ports.relay import ROUND_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from consumer.clock import Clock
    from consumer.ports.relay import Line, Outbox, Publisher


@dataclass(frozen=True, slots=True)
class RelayOptions:
    """Seconds, but for ``batch``, messages of one round, and ``in_flight``, messages sent and not yet deleted.

    ``in_flight_bytes`` are their values', while the broker has not answered.

    Whoever commits messages in this process wakes the relay. Those of other processes are looked for, every
    ``poll_seconds`` as long as there were some within ``busy_seconds``, else every ``idle_seconds``.
    """

    batch: int = 1000
    in_flight: int = 4000
    in_flight_bytes: int = 4 * ROUND_BYTES
    lease_seconds: float = 4.0
    poll_seconds: float = 0.05
    idle_seconds: float = 0.25
    busy_seconds: float = 2.0
    linger_seconds: float = 0.004
    error_pause_seconds: float = 1.0


class Relay:
    """Sends rounds one behind the other and settles them beside: none waits until the one before it is deleted.

    The line to the bus keeps their order. When an outcome is unknown the line is given up and every round on it is
    settled before anything is read again, so that nothing overtakes what failed.

    Owns no resource; its outbox and publisher are closed by who made them.
    """

    def __init__(
        self,
        outbox: Outbox,
        publisher: Publisher,
        options: RelayOptions,
        published: Callable[[int], None],
        parked: Callable[[int], None],
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        self._outbox = outbox
        self._publisher = publisher
        self._options = options
        self._published = published
        self._parked = parked
        self._clock = clock
        self._log = log
        self._line: Line | None = None
        self._in_flight = InFlight()
        self._sending = asyncio.Lock()  # held from the reading of rows until they are in flight
        self._wake = asyncio.Event()
        self._sent = asyncio.Event()
        self._more = self._wants_room = False  # whether there is more to send, and whether that waits for settling
        self._failures = 0
        self._held_until = self._asks_again = 0.0
        self._busy_until = 0.0
        self._settling_since: float | None = None
        self._turned = self.last_round = clock.monotonic()

    @property
    def last_turn(self) -> float:
        """When the slower of the two, sending and settling, last did something; monotonic."""
        since = self._settling_since
        return self._turned if since is None else min(self._turned, since)

    def wake(self) -> None:
        """Look now: something in this process has just committed messages."""
        self._wake.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Publish until told to stop and the outbox is empty; our caller bounds that with its grace."""
        async with asyncio.TaskGroup() as group:
            settling = group.create_task(self._settle_for_ever(), name="relay settling")
            while not stopping.is_set():
                await self._look_or_pause()
            failures = self._failures
            while self._failures == failures and (await self._look_or_pause() or not self._in_flight.settled):
                pass
            settling.cancel()

    async def run_once(self) -> int:
        """Send one batch if this is the active relay and settle all that is in flight; how many messages it was.

        Raises:
            TransientError: The database is away.
            PublishError: The broker did not acknowledge everything; what it did is deleted.
        """
        sent = await self._send()
        while not self._in_flight.settled:
            await self._settle()
        return sent

    async def _send(self) -> int:
        """Read one batch of what is not in flight, and send it."""
        async with self._sending:
            room = min(self._options.batch, self._options.in_flight - len(self._in_flight.rows))
            self._more = False
            self._wants_room = room <= 0 or self._in_flight.bytes >= self._options.in_flight_bytes
            if self._wants_room or not await self._hold():
                return 0
            rows = await self._outbox.pending(room, self._in_flight.rows)
            size = sum(len(message.value or b"") for _, message in rows)
            if rows:
                if self._line is None:
                    self._line = await self._publisher.line()
                receipt = await self._line.send([message for _, message in rows])
                self._in_flight.add(Round(rows, receipt, size))
                self._sent.set()
            self._more = len(rows) == room or size > ROUND_BYTES // 2  # which may have been cut for its bytes
            return len(rows)

    async def _settle(self) -> None:
        """Wait for the oldest round; delete or park its rows and those of all that are complete by then."""
        in_flight, unknown = self._in_flight, None
        if in_flight.rounds:
            unknown = await in_flight.settle_oldest()
        while unknown is None and in_flight.rounds and in_flight.rounds[0].receipt.complete:
            unknown = await in_flight.settle_oldest()
        if unknown is not None:
            await self._give_up()
        await self._clear()
        if unknown is not None:
            raise unknown

    async def _give_up(self) -> None:
        """Close the line and forget what is unknown: all of it is read again, in its order."""
        line = self._line
        if line is not None:
            await line.close()
        async with self._sending:
            while self._in_flight.rounds:
                await self._in_flight.settle_oldest()
            self._line = None

    async def _clear(self) -> None:
        in_flight = self._in_flight
        if acknowledged := tuple(in_flight.acknowledged):
            reach("before_outbox_delete")
            await self._outbox.delete(acknowledged)
            self._published(len(acknowledged))
            in_flight.acknowledged.clear()
            in_flight.rows.difference_update(acknowledged)
        if refused := dict(in_flight.refused):
            await self._outbox.park({row: reason for row, (_, reason) in refused.items()})
            self._parked(len(refused))
            for message, reason in refused.values():
                self._log.error("message_parked", event_id=message.event_id, topic=message.topic, error=reason)
            in_flight.refused.clear()
            in_flight.rows.difference_update(refused)

    async def _hold(self) -> bool:
        """Prolong the lease when half of it is gone, not on every round; standing by, ask now and then."""
        now = self._clock.monotonic()
        if now < self._held_until:
            return True
        if now < self._asks_again:
            return False
        if not await self._outbox.hold(self._options.lease_seconds):
            self._asks_again = now + self._options.idle_seconds
            return False
        self._held_until = now + self._options.lease_seconds / 2
        return True

    async def _settle_for_ever(self) -> None:
        while True:
            await self._sent.wait()
            self._settling_since = self._clock.monotonic()
            try:
                await self._settle()
            except (TransientError, PublishError) as error:
                await self._failed(error)
                self._wake.set()
            else:
                self.last_round = self._clock.monotonic()
            self._settling_since = None
            if self._in_flight.settled:
                self._sent.clear()
            if self._wants_room:
                self._wake.set()

    async def _look_or_pause(self) -> int:
        """One look, and a pause unless there is more; how many messages were sent."""
        self._wake.clear()
        self._turned = self._clock.monotonic()
        try:
            sent = await self._send()
        except (TransientError, PublishError) as error:
            await self._failed(error)
            return 0
        now = self._clock.monotonic()
        if self._in_flight.settled:
            self.last_round = now
        if sent:
            self._busy_until = now + self._options.busy_seconds
        if not self._more:
            await self._pause()
        return sent

    async def _failed(self, error: Exception) -> None:
        """Nobody sends before the pause is over."""
        self._failures += 1
        self._log.warning("relay_round_failed", error=str(error))
        async with self._sending:
            await asyncio.sleep(self._options.error_pause_seconds)

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
        if self._in_flight.rounds:
            # What is committed within a few milliseconds goes out together: one read and one delete for all of it.
            await asyncio.sleep(self._options.linger_seconds)
