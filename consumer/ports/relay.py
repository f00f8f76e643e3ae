"""What the relay needs of the outbox that it empties, and of the bus that it publishes to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from consumer.outbound import OutboxMessage


ROUND_BYTES: Final = 16 * 1024 * 1024  # of values; dead letters may have a megabyte each


class Outbox(Protocol):
    """Committed events that wait for the broker."""

    async def hold(self, seconds: float) -> bool:
        """Become or stay the one relay that publishes; False while another is alive."""
        ...

    async def pending(self, limit: int, leave_out: AbstractSet[int] = frozenset()) -> list[tuple[int, OutboxMessage]]:
        """The oldest messages with their row ids, but for rows left out; at most ``ROUND_BYTES``, or one message."""
        ...

    async def delete(self, ids: Sequence[int]) -> None:
        """Forget messages that the broker has acknowledged."""
        ...

    async def park(self, reasons: Mapping[int, str]) -> None:
        """Set aside messages that the broker will never take, so that they hold up nobody: row ids with the reasons."""
        ...


class Receipt(Protocol):
    """What becomes of messages that were sent together."""

    @property
    def complete(self) -> bool:
        """Whether every outcome is there without waiting."""
        ...

    async def wait(self) -> Sequence[Exception | None]:
        """For each message None once acknowledged, else what went wrong; bounded.

        RecordRefusedError is final for its message, PublishError leaves the outcome unknown.
        """
        ...


class Line(Protocol):
    """A way to the bus on which no message overtakes another one of its topic and key."""

    async def send(self, messages: Sequence[OutboxMessage]) -> Receipt:
        """Send behind everything that was sent before, many in flight. After a failure nothing goes through any more.

        One call at a time.
        """
        ...

    async def close(self) -> None:
        """Give the line up: what is not acknowledged by now never will be, and every receipt is complete."""
        ...


class Publisher(Protocol):
    """The way to the bus."""

    async def line(self) -> Line:
        """The present line, or a new one after one was closed or broke.

        Raises:
            PublishError: The bus is away.
        """
        ...
