"""Group commit: what executions write at the same time is one transaction, and each learns of its own alone.

Nobody waits for a timer: whatever is asked for while one transaction runs is the next one.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from consumer.errors import LeaseLostError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from consumer.model import Lease
    from consumer.ports.fenced import FencedWork

    Change = Callable[[FencedWork], Awaitable[None]]
    Open = Callable[[Sequence[Lease]], AbstractAsyncContextManager[Mapping[Lease, FencedWork]]]


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """A change that somebody waits for."""

    lease: Lease
    change: Change
    written: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def answer(self, error: Exception | None = None) -> None:
        """Tell who waits, if it still does."""
        if self.written.done():
            return
        if error is None:
            self.written.set_result(None)
        else:
            self.written.set_exception(error)


class GroupCommit:
    """Writes changes of executions, as many in one transaction as are there when it begins."""

    def __init__(self, open_fenced: Open) -> None:
        self._open = open_fenced
        self._asked: list[_Asked] = []
        self._writer: asyncio.Task[None] | None = None

    async def write(self, lease: Lease, change: Change) -> None:
        """Commit a change, alone or with others; it is made once more if one of the others could not be.

        A caller that is cancelled after the transaction has begun cannot know whether it took place, as with any
        commit: the row decides.

        Raises:
            LeaseLostError: The lease is not the newest, or the execution has ended.
        """
        asked = _Asked(lease, change)
        self._asked.append(asked)
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_all(), name="group commit")
        try:
            await asked.written
        finally:
            if asked in self._asked:
                self._asked.remove(asked)

    async def _write_all(self) -> None:
        try:
            while self._asked:
                group, self._asked = self._asked, []
                await self._write(group)
        finally:
            self._writer = None

    async def _write(self, group: Sequence[_Asked]) -> None:
        try:
            async with self._open([one.lease for one in group]) as works:
                for one in group:
                    if one.lease in works:
                        await one.change(works[one.lease])
        except Exception as error:  # noqa: BLE001 - whatever it was: it is the answer to who asked
            if len(group) == 1:
                group[0].answer(error)
            else:  # one of them is to blame, and no other may suffer for it
                await asyncio.gather(*(self._write([one]) for one in group))
            return
        for one in group:
            one.answer(None if one.lease in works else lease_lost(one.lease))


def lease_lost(lease: Lease) -> LeaseLostError:
    """What the fence says to a zombie."""
    return LeaseLostError(f"epoch {lease.epoch} of execution {lease.execucao_id} is not the newest, or it has ended")
