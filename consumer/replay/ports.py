"""What the policies need of the outer layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from consumer.outbound import OutboxMessage
    from consumer.received import Identity
    from schemas.records import RawRecord


@dataclass(frozen=True, slots=True)
class KnownCommand:
    """A command that the service has taken.

    Attributes:
        digest: Of its data.
        execucao_id: Its execution; for a cancellation the one that it names.
        ended: Whether the execution has reached its last state.
    """

    digest: bytes
    execucao_id: str
    ended: bool


class ReplayStore(Protocol):
    """What the service remembers. Every method may raise TransientError."""

    async def known(self, identities: Iterable[Identity]) -> Mapping[Identity, KnownCommand]:
        """Those of the identities that were taken before."""
        ...

    async def refused(self, records: Sequence[RawRecord]) -> AbstractSet[RawRecord]:
        """Those of the records that became dead letters before."""
        ...

    async def stored_events(self, execucao_ids: Sequence[str]) -> Sequence[OutboxMessage]:
        """What is kept of ended executions, as it was first sent: each step's last event, then the last status."""
        ...

    async def send_again(self, messages: Sequence[OutboxMessage]) -> None:
        """Put messages behind everything that waits for the broker."""
        ...
