"""``missing``: commands that have no execution get one, through the same inbox as any other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from consumer.replay.decoding import decode, taken_before
from consumer.replay.tally import Tally
from consumer.verdict import Facts, judge, judge_cancels
from schemas.commands import CancelExecution
from schemas.enums import StatusExecucao

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from consumer.intake import Inbox, Intake
    from consumer.model import ExecutionId
    from consumer.received import Identity, Received
    from consumer.replay.ports import ReplayStore
    from consumer.verdict import Verdict
    from schemas.enums import TopicKind
    from schemas.records import RawRecord


class RunMissing:
    """Feeds records to intake, which knows its duplicates.

    Args:
        intake: On the inbox of the running service.
        oldest_ms: Records from before (milliseconds since 1970) are left alone; None: however old they are.
    """

    def __init__(self, intake: Intake, oldest_ms: int | None) -> None:
        self._intake = intake
        self._oldest_ms = oldest_ms

    async def take(self, records: Sequence[RawRecord]) -> Tally:
        """Persist a batch.

        Raises:
            TransientError: Nothing, or everything, was persisted; the same replay again finishes it.
        """
        young = young_enough(records, self._oldest_ms)
        report = await self._intake.take(young)
        good = report.accepted + report.duplicates + report.cancels
        return Tally(
            records=len(records),
            run=report.accepted,
            duplicates=report.duplicates,
            cancels=report.cancels,
            too_old=len(records) - len(young),
            bad=len(young) - good,
            new_letters=report.refused,
        )


class PreviewMissing:
    """Says what ``RunMissing`` would do; remembers what it would have done to the batches before."""

    def __init__(
        self,
        inbox: Inbox,
        store: ReplayStore,
        kinds: Mapping[str, TopicKind],
        new_id: Callable[[], ExecutionId],
        oldest_ms: int | None,
    ) -> None:
        self._inbox = inbox
        self._store = store
        self._kinds = kinds
        self._new_id = new_id
        self._oldest_ms = oldest_ms
        self._taken: dict[Identity, bytes] = {}
        self._named: dict[str, StatusExecucao] = {}
        self._lettered: set[RawRecord] = set()

    async def take(self, records: Sequence[RawRecord]) -> Tally:
        """Count; nothing is written.

        Raises:
            TransientError: The database is away.
        """
        young = young_enough(records, self._oldest_ms)
        received, refused = await decode(young, self._kinds, self._new_id)
        commands = [item for item in received if not isinstance(item.command, CancelExecution)]
        cancels = [item for item in received if isinstance(item.command, CancelExecution)]
        ran = await self._judge(commands, judge)
        cancelled = await self._judge(cancels, judge_cancels)
        bad = [item.raw for item in (*refused, *ran.refused, *cancelled.refused)]
        new = set(bad) - await self._store.refused(bad) - self._lettered
        self._lettered |= new
        return Tally(
            records=len(records),
            run=len(ran.accepted),
            duplicates=len(ran.duplicates) + len(cancelled.duplicates),
            cancels=len(cancelled.accepted),
            too_old=len(records) - len(young),
            bad=len(bad),
            new_letters=len(new),
        )

    async def _judge(self, items: list[Received], judged: Callable[[list[Received], Facts], Verdict]) -> Verdict:
        async with self._inbox.transaction() as inbox:
            facts = await inbox.facts(items)
        verdict = judged(
            items,
            replace(
                facts,
                known={**facts.known, **taken_before(items, self._taken)},
                attached=facts.attached | self._named.keys(),
                executions={**facts.executions, **self._named},
            ),
        )
        self._taken |= {item.identity: item.digest for item in verdict.accepted}
        for item in verdict.accepted:
            self._remember(item, facts)
        return verdict

    def _remember(self, item: Received, facts: Facts) -> None:
        """A queued execution is there, and one that is cancelled in the queue has ended."""
        if not isinstance(item.command, CancelExecution):
            if item.names_execution:
                self._named[item.execucao_id] = StatusExecucao.PENDENTE
        elif {**facts.executions, **self._named}.get(item.execucao_id) is StatusExecucao.PENDENTE:
            self._named[item.execucao_id] = StatusExecucao.ERRO


def young_enough(records: Sequence[RawRecord], oldest_ms: int | None) -> list[RawRecord]:
    """Records from ``oldest_ms`` on, and those that do not tell their time."""
    return [raw for raw in records if oldest_ms is None or raw.timestamp_ms < 0 or raw.timestamp_ms >= oldest_ms]
