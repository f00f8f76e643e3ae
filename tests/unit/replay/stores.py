from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from consumer.replay.ports import KnownCommand
from tests.builders import uuid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from consumer.model import ExecutionId
    from consumer.outbound import OutboxMessage
    from consumer.received import Identity
    from schemas.records import RawRecord
    from tests.fakes import FakeInbox


@dataclass(slots=True)
class FakeStore:
    """``consumer.replay.ports.ReplayStore`` over a fake inbox; executions in ``ended`` have the events given."""

    inbox: FakeInbox
    ended: dict[str, list[OutboxMessage]] = field(default_factory=dict)
    sent: list[OutboxMessage] = field(default_factory=list)

    async def known(self, identities: Iterable[Identity]) -> Mapping[Identity, KnownCommand]:
        commands = self.inbox.state.commands
        found = {one: commands[one] for one in identities if one in commands}
        return {
            one: KnownCommand(item.digest, item.execucao_id, item.execucao_id in self.ended)
            for one, item in found.items()
        }

    async def refused(self, records: Sequence[RawRecord]) -> frozenset[RawRecord]:
        known = self.inbox.state.refused
        return frozenset(raw for raw in records if (raw.topic, raw.partition, raw.offset, raw.timestamp_ms) in known)

    async def stored_events(self, execucao_ids: Sequence[str]) -> list[OutboxMessage]:
        return [message for name in execucao_ids for message in self.ended[name]]

    async def send_again(self, messages: Sequence[OutboxMessage]) -> None:
        self.sent += messages


def numbered(first: int = 1000) -> Callable[[], ExecutionId]:
    """Ids of new executions, one after the other."""
    numbers = iter(range(first, 10_000_000))
    return lambda: uuid(next(numbers))
