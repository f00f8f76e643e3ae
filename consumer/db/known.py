"""Messages that this process committed a moment ago: its own relay need not fetch them back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consumer.outbound import OutboxMessage

SESSION_KEY: Final = "known_messages"  # in ``session.info``
MOST_BYTES: Final = 8 * 1024 * 1024
_OVERHEAD_BYTES: Final = 1024  # of the objects around a message's bytes


class KnownMessages:
    """A bounded memory of contents by row id. The table alone says which rows there are and in what order they go.

    Filled after the commit, while ``wanted``: when this process holds the relay's lease. What does not fit is read
    from the table, like the rows of other processes.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._messages: dict[int, tuple[OutboxMessage, int]] = {}  # with their sizes
        self._bytes = 0
        self.wanted = False

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, ids: Sequence[int], messages: Sequence[OutboxMessage], sizes: Sequence[int]) -> None:
        """Keep committed messages, in the order of their ids, as far as there is room.

        Args:
            sizes: Of each message's value and headers, in bytes.
        """
        for row, message, content in zip(ids, messages, sizes, strict=True):
            size = content + _OVERHEAD_BYTES
            if self._bytes + size > self._most_bytes:
                return
            self._messages[row] = message, size
            self._bytes += size

    def take(self, row: int, event_id: str) -> OutboxMessage | None:
        """Hand out a message and forget it; None if it is not the one that this row of the table holds.

        A server that was restored gives out ids again: a row is known by both its names.
        """
        known = self._messages.pop(row, None)
        if known is None:
            return None
        message, size = known
        self._bytes -= size
        return message if message.event_id == event_id else None

    def forget_before(self, row: int | None) -> None:
        """Drop what another relay has published or parked: ids below the oldest that waits; all, if none does."""
        for gone in [known for known in self._messages if row is None or known < row]:
            self._bytes -= self._messages.pop(gone)[1]
