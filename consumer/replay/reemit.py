"""``reemit``: the stored events of ended executions are told again, byte for byte; nothing runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consumer.replay.decoding import decode
from consumer.replay.tally import Tally
from schemas.commands import CancelExecution

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from consumer.model import ExecutionId
    from consumer.received import Received
    from consumer.replay.ports import KnownCommand, ReplayStore
    from schemas.enums import TopicKind
    from schemas.records import RawRecord


class ReemitEvents:
    """Tells the end of each execution once, however many records led to it.

    Args:
        store: What the service remembers.
        kinds: What each topic carries.
        new_id: For reading records; no execution is made.
        dry_run: Count, send nothing.
    """

    def __init__(
        self,
        store: ReplayStore,
        kinds: Mapping[str, TopicKind],
        new_id: Callable[[], ExecutionId],
        *,
        dry_run: bool = False,
    ) -> None:
        self._store = store
        self._kinds = kinds
        self._new_id = new_id
        self._dry_run = dry_run
        self._told: set[str] = set()

    async def take(self, records: Sequence[RawRecord]) -> Tally:
        """Send the events of one batch.

        Raises:
            TransientError: Nothing, or everything, was handed over; the same replay again does no harm.
        """
        received, refused = await decode(records, self._kinds, self._new_id)
        known = await self._store.known(item.identity for item in received)
        tally = Tally(records=len(records), bad=len(refused))
        ended: list[str] = []
        for item in received:
            tally += self._sort(item, known.get(item.identity), ended)
        messages = await self._store.stored_events(ended) if ended else ()
        if messages and not self._dry_run:
            await self._store.send_again(messages)
        self._told.update(ended)
        return tally + Tally(events=len(messages))

    def _sort(self, item: Received, known: KnownCommand | None, ended: list[str]) -> Tally:
        if isinstance(item.command, CancelExecution):
            return Tally(cancels=1)
        if known is None:
            return Tally(never_ran=1)
        if known.digest != item.digest:
            return Tally(bad=1)
        if known.execucao_id in self._told or known.execucao_id in ended:
            return Tally(duplicates=1)
        if not known.ended:
            return Tally(running=1)
        ended.append(known.execucao_id)
        return Tally(reemitted=1)
