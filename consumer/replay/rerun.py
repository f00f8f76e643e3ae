"""``rerun``: every command that has an execution gets another one, which names the first as ``replay_of``."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from consumer.received import Identity
from consumer.replay.decoding import decode, taken_before
from consumer.replay.tally import Tally
from consumer.verdict import judge
from schemas.commands import CancelExecution, data_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from consumer.intake import Inbox
    from consumer.model import ExecutionId
    from consumer.received import Received
    from consumer.replay.ports import KnownCommand, ReplayStore
    from schemas.enums import TopicKind
    from schemas.records import RawRecord

REPLAY_SOURCE: Final = "/forecast-consumer/replay"
_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, REPLAY_SOURCE)


def repeated(item: Received, replay_id: str, original: str, execucao_id: ExecutionId) -> Received:
    """Give the command as this replay repeats it.

    Its identity follows from the replay and the original identity, so that the same replay makes it once. The
    execution that it named is the original's, its deadline has its meaning lost, and no client waits any more.

    Args:
        item: The command as it was read.
        replay_id: Names the replay.
        original: The execution that is repeated.
        execucao_id: The new one.
    """
    if isinstance(item.command, CancelExecution):
        raise TypeError("a cancellation is not repeated")
    source, event_id = item.identity
    identity = Identity(
        f"{REPLAY_SOURCE}/{replay_id}", str(uuid.uuid5(_NAMESPACE, f"{len(source)} {source}{event_id}"))
    )
    command = item.command.model_copy(update={"execucao_id": None})
    envelope = item.envelope._replace(
        source=identity.source, id=identity.event_id, expires_at=None, reply=None, warnings=()
    )
    return replace(
        item,
        envelope=envelope,
        identity=identity,
        command=command,
        digest=data_digest(command),
        execucao_id=execucao_id,
        names_execution=False,
        replay_of=original,
    )


class RunAgain:
    """Makes executions; a command that must be refused now is counted, and leaves no second dead letter.

    Args:
        inbox: Where commands become durable.
        store: What the service remembers.
        kinds: What each topic carries.
        new_id: Makes ids of executions.
        replay_id: Names the replay.
        dry_run: Count, write nothing.
    """

    def __init__(
        self,
        inbox: Inbox,
        store: ReplayStore,
        kinds: Mapping[str, TopicKind],
        new_id: Callable[[], ExecutionId],
        replay_id: str,
        *,
        dry_run: bool = False,
    ) -> None:
        self._inbox = inbox
        self._store = store
        self._kinds = kinds
        self._new_id = new_id
        self._replay_id = replay_id
        self._dry_run = dry_run
        self._taken: dict[Identity, bytes] = {}

    async def take(self, records: Sequence[RawRecord]) -> Tally:
        """Make the executions of one batch, in one transaction.

        Raises:
            TransientError: Nothing, or everything, was persisted; the same replay again finishes it.
        """
        received, refused = await decode(records, self._kinds, self._new_id)
        known = await self._store.known(item.identity for item in received)
        tally = Tally(records=len(records), bad=len(refused))
        again: list[Received] = []
        for item in received:
            tally += self._sort(item, known.get(item.identity), again)
        return tally + await self._accept(again) if again else tally

    def _sort(self, item: Received, known: KnownCommand | None, again: list[Received]) -> Tally:
        if isinstance(item.command, CancelExecution):
            return Tally(cancels=1)
        if known is None:
            return Tally(never_ran=1)
        if known.digest != item.digest:
            return Tally(bad=1)
        again.append(repeated(item, self._replay_id, known.execucao_id, self._new_id()))
        return Tally()

    async def _accept(self, again: list[Received]) -> Tally:
        """Until nobody gets in between, as intake does."""
        run = duplicates = bad = 0
        pending = again
        async with self._inbox.transaction() as inbox:
            while pending:
                facts = await inbox.facts(pending)
                verdict = judge(pending, replace(facts, known={**facts.known, **taken_before(pending, self._taken)}))
                duplicates += len(verdict.duplicates)
                bad += len(verdict.refused)
                write = verdict.accepted and not self._dry_run
                pending = await inbox.accept(verdict.accepted) if write else []
                run += len(verdict.accepted) - len(pending)
        if self._dry_run:
            self._taken |= {item.identity: item.digest for item in verdict.accepted}
        return Tally(run=run, duplicates=duplicates, bad=bad)
