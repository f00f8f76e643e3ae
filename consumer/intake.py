"""Intake: records in, decoded, then one transaction a batch.

Each record ends as an execution, a duplicate, a cancellation, or a rejection with a dead letter; none fails its
neighbours. Verdicts (``consumer.verdict``) follow from facts that were read in the same transaction.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final, Protocol

from consumer.errors import TransientError, UnusableDatabaseError
from consumer.failpoints import reach
from consumer.received import Received, Refused, receive
from consumer.verdict import Facts, Verdict, judge, judge_cancels
from schemas.commands import CancelExecution
from schemas.enums import RejectionCode
from schemas.errors import FieldError
from schemas.records import Envelope

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from consumer.model import ExecutionId
    from schemas.enums import TopicKind
    from schemas.records import RawRecord

BREATH: Final = 10  # records decoded before the event loop gets its turn: the batch before goes first


class InboxTransaction(Protocol):
    """One transaction of the inbox."""

    async def reserve(self, records: Sequence[RawRecord]) -> None:
        """Wait for other members that persist records of these partitions, and keep them out until this ends.

        In a rebalance two members may hold the same record: what one of them found out would be news to the other.
        """
        ...

    async def facts(self, received: Sequence[Received]) -> Facts:
        """What is already known of these identities, executions and users; the executions named are locked."""
        ...

    async def accept(self, received: Sequence[Received]) -> list[Received]:
        """Insert commands, their executions and PENDENTE events; returns those that somebody else inserted first."""
        ...

    async def cancel(self, received: Sequence[Received]) -> list[Received]:
        """Carry out cancellations: queued executions end now, running ones are told, unattached ones end.

        Returns those that somebody else inserted first.
        """
        ...

    async def refuse(self, refused: Sequence[Refused]) -> int:
        """Dead letter and rejection, once a record; executions that waited for one end in ERRO. How many were new."""
        ...


class Inbox(Protocol):
    """Where commands become durable."""

    def transaction(self) -> AbstractAsyncContextManager[InboxTransaction]:
        """Everything or nothing; TransientError when the database is away."""
        ...


@dataclass(frozen=True, slots=True)
class IntakeReport:
    """What became of a batch."""

    accepted: int = 0
    duplicates: int = 0
    cancels: int = 0
    refused: int = 0

    def plus(self, other: IntakeReport) -> IntakeReport:
        """Both together."""
        mine, others = self.counts(), other.counts()
        return IntakeReport(**{name: mine[name] + others[name] for name in mine})

    def counts(self) -> dict[str, int]:
        """The same by name, for metrics and logs."""
        return asdict(self)


def _unnoticed(_: Received) -> None:
    return


class Intake:
    """Persists batches; holds no state between them.

    Args:
        inbox: Where commands become durable.
        kinds: What each topic carries, by its name.
        new_id: Makes ids of executions that the producer did not name.
        noticed: Told of persisted commands whose envelope has a warning or asks for replies.
    """

    def __init__(
        self,
        inbox: Inbox,
        kinds: Mapping[str, TopicKind],
        new_id: Callable[[], ExecutionId],
        noticed: Callable[[Received], None] = _unnoticed,
    ) -> None:
        self._inbox = inbox
        self._kinds = kinds
        self._new_id = new_id
        self._noticed = noticed

    async def take(self, records: Sequence[RawRecord]) -> IntakeReport:
        """Decode and persist, one after the other; raises what ``persist`` raises."""
        return await self.persist(await self.decode(records))

    async def decode(self, records: Iterable[RawRecord]) -> list[Received | Refused]:
        """What stands in each record. Touches nothing, never fails, and gives the event loop its turns."""
        decoded: list[Received | Refused] = []
        for position, raw in enumerate(records, start=1):
            try:
                decoded.append(receive(raw, self._kinds[raw.topic], self._new_id))
            except Exception as error:  # noqa: BLE001 - whatever it is, its neighbours must not suffer for it
                decoded.append(self._unforeseen(raw, error))
            if position % BREATH == 0:
                await asyncio.sleep(0)
        return decoded

    async def persist(self, decoded: Sequence[Received | Refused]) -> IntakeReport:
        """Make a batch durable once, however often it is delivered.

        A record on which we fail in a way that nobody foresaw is found by halving the batch, and refused: it must
        not hold up its neighbours for ever.

        Raises:
            TransientError: Some of it may be persisted; persist the same batch again.
            UnusableDatabaseError: Nothing can be persisted before somebody has repaired the database.
        """
        try:
            return await self._persist_together(decoded)
        except (TransientError, UnusableDatabaseError):
            raise
        except Exception as error:
            if not decoded:
                raise
            if len(decoded) == 1:
                return await self._refuse_unforeseen(decoded[0], error)
        middle = len(decoded) // 2
        first = await self.persist(decoded[:middle])
        return first.plus(await self.persist(decoded[middle:]))

    async def _refuse_unforeseen(self, item: Received | Refused, error: Exception) -> IntakeReport:
        """With what is known of the record; without it, if that is what cannot be stored."""
        bare = self._unforeseen(item.raw, error)
        if isinstance(item, Received):
            try:
                return await self._persist_refusal(item.refuse(bare.errors[0]))
            except (TransientError, UnusableDatabaseError):
                raise
            except Exception:  # noqa: BLE001, S110 - whatever it is, the bare record is refused instead
                pass
        return await self._persist_refusal(bare)

    def _unforeseen(self, raw: RawRecord, error: Exception) -> Refused:
        message = f"the record cannot be persisted ({type(error).__name__}): a fault of the service, please report it"
        reason = FieldError("value", RejectionCode.INVALID_VALUE, message)
        return Refused(raw, self._kinds[raw.topic], Envelope(f"kafka:{raw.topic}", raw.position), None, (reason,))

    async def _persist_refusal(self, refused: Refused) -> IntakeReport:
        async with self._inbox.transaction() as inbox:
            await inbox.reserve([refused.raw])
            return IntakeReport(refused=await inbox.refuse([refused]))

    async def _persist_together(self, decoded: Sequence[Received | Refused]) -> IntakeReport:
        """The whole batch in one transaction, or nothing of it."""
        refused = [item for item in decoded if isinstance(item, Refused)]
        received = [item for item in decoded if isinstance(item, Received)]
        commands = [item for item in received if not isinstance(item.command, CancelExecution)]
        cancels = [item for item in received if isinstance(item.command, CancelExecution)]
        async with self._inbox.transaction() as inbox:
            await inbox.reserve([item.raw for item in decoded])
            accepted, duplicates = await self._carry_out(inbox, commands, refused, judge, inbox.accept)
            cancelled, repeated = await self._carry_out(inbox, cancels, refused, judge_cancels, inbox.cancel)
            new_refusals = await inbox.refuse(refused)
            reach("before_inbox_commit")
        reach("after_inbox_commit")
        for item in commands:
            if item.envelope.warnings or item.envelope.reply is not None:
                self._noticed(item)
        return IntakeReport(accepted, duplicates + repeated, cancelled, new_refusals)

    async def _carry_out(
        self,
        inbox: InboxTransaction,
        pending: Sequence[Received],
        refused: list[Refused],
        judge: Callable[[Sequence[Received], Facts], Verdict],
        insert: Callable[[Sequence[Received]], Awaitable[list[Received]]],
    ) -> tuple[int, int]:
        """Until nobody gets in between: what another process inserted meanwhile is judged anew."""
        inserted = duplicates = 0
        while pending:
            verdict = judge(pending, await inbox.facts(pending))
            refused.extend(verdict.refused)
            duplicates += len(verdict.duplicates)
            pending = await insert(verdict.accepted) if verdict.accepted else []
            inserted += len(verdict.accepted) - len(pending)
        return inserted, duplicates
