"""What a relay has sent and not yet deleted: rounds in their order, and the rows that must not be read again."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from consumer.errors import PublishError, RecordRefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consumer.outbound import OutboxMessage
    from consumer.ports.relay import Receipt


@dataclass(frozen=True, slots=True)
class Round:
    """Rows that were sent together, in the order of their ids."""

    rows: Sequence[tuple[int, OutboxMessage]]
    receipt: Receipt
    bytes: int = 0


@dataclass(slots=True)
class InFlight:
    """Rows between their sending and their deletion.

    Attributes:
        rounds: Sent, the outcomes not looked at.
        acknowledged: Rows to delete.
        refused: Rows to park, with their messages and the reasons.
        rows: All of these; a row leaves when it is deleted or parked, or when its outcome is unknown.
    """

    rounds: deque[Round] = field(default_factory=deque)
    acknowledged: list[int] = field(default_factory=list)
    refused: dict[int, tuple[OutboxMessage, str]] = field(default_factory=dict)
    rows: set[int] = field(default_factory=set)

    @property
    def bytes(self) -> int:
        """Of the messages whose outcome is not known yet."""
        return sum(one.bytes for one in self.rounds)

    @property
    def settled(self) -> bool:
        """Whether nothing is left to be done."""
        return not self.rows

    def add(self, sent: Round) -> None:
        """Remember what was sent."""
        self.rounds.append(sent)
        self.rows.update(row for row, _ in sent.rows)

    async def settle_oldest(self) -> PublishError | None:
        """Wait for the oldest round and sort its rows by what became of them; the first unknown outcome, if any."""
        oldest = self.rounds[0]
        outcomes = await oldest.receipt.wait()
        self.rounds.popleft()
        unknown = None
        for (row, message), outcome in zip(oldest.rows, outcomes, strict=True):
            if outcome is None:
                self.acknowledged.append(row)
            elif isinstance(outcome, RecordRefusedError):
                self.refused[row] = message, str(outcome)
            else:
                self.rows.discard(row)
                unknown = unknown or PublishError(str(outcome))
        return unknown
