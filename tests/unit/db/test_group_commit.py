from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from consumer.db.group_commit import GroupCommit
from consumer.errors import LeaseLostError, PermanentError, TransientError
from consumer.model import Lease
from schemas.enums import ErrorCode
from tests.builders import uuid

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

ONE, TWO, THREE = (Lease(uuid(number), 1) for number in (1, 2, 3))


class Transactions:
    """Opens works that are the leases' own names; what was written counts once the transaction ends well."""

    def __init__(self) -> None:
        self.groups: list[list[Lease]] = []
        self.committed: list[str] = []
        self.lost: set[Lease] = set()
        self.gate = asyncio.Event()
        self.gate.set()
        self.failing: list[Exception] = []

    @asynccontextmanager
    async def open(self, leases: Sequence[Lease]) -> AsyncIterator[dict[Lease, Any]]:
        self.groups.append(list(leases))
        working: list[str] = []
        await self.gate.wait()
        yield {lease: (lease.execucao_id, working) for lease in leases if lease not in self.lost}
        if self.failing:
            raise self.failing.pop(0)
        self.committed += working


async def put(work: Any) -> None:
    name, working = work
    working.append(name)


async def meanwhile(transactions: Transactions, group: GroupCommit, *leases: Lease) -> list[asyncio.Task[None]]:
    """Ask for these writes while that of another execution is under way."""
    transactions.gate.clear()
    tasks = [asyncio.create_task(group.write(Lease(uuid(9), 1), put))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    tasks += [asyncio.create_task(group.write(lease, put)) for lease in leases]
    await asyncio.sleep(0)
    return tasks


async def test_what_comes_during_a_transaction_is_the_next_one() -> None:
    """Writes that are asked for while one runs share one transaction after it; the first waits for nobody."""
    transactions = Transactions()
    group = GroupCommit(transactions.open)
    tasks = await meanwhile(transactions, group, ONE, TWO)
    transactions.gate.set()
    await asyncio.gather(*tasks)
    assert transactions.groups == [[Lease(uuid(9), 1)], [ONE, TWO]]
    assert transactions.committed == [uuid(9), uuid(1), uuid(2)]


async def test_failure_of_one_is_its_own() -> None:
    """If a change of a group fails each is written alone: the others are committed, and it gets its own error."""
    transactions = Transactions()
    group = GroupCommit(transactions.open)

    async def refuse(work: Any) -> None:
        await put(work)
        raise PermanentError(ErrorCode.CANCELLED, "cancelled")

    tasks = await meanwhile(transactions, group, ONE)
    bad = asyncio.create_task(group.write(TWO, refuse))
    await asyncio.sleep(0)
    transactions.gate.set()
    await asyncio.gather(*tasks)
    with pytest.raises(PermanentError):
        await bad
    assert transactions.committed == [uuid(9), uuid(1)]


async def test_lost_lease_is_told_to_its_holder_alone() -> None:
    """A lease that the fence does not open is LeaseLostError for who wrote under it, and for nobody else."""
    transactions = Transactions()
    transactions.lost = {TWO}
    group = GroupCommit(transactions.open)
    tasks = await meanwhile(transactions, group, ONE, TWO)
    transactions.gate.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [type(None), type(None), LeaseLostError]


async def test_database_that_is_away_is_told_to_all() -> None:
    """When the commit fails, and again for each alone, every caller hears of it; the next write works."""
    transactions = Transactions()
    group = GroupCommit(transactions.open)
    transactions.failing = [TransientError("away")] * 4
    tasks = await meanwhile(transactions, group, ONE, TWO)
    transactions.gate.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [TransientError] * 3
    await group.write(THREE, put)
    assert transactions.committed == [uuid(3)]


async def test_cancelled_caller_takes_its_write_back_while_it_waits() -> None:
    """A write whose caller is cancelled before its transaction begins is never made."""
    transactions = Transactions()
    group = GroupCommit(transactions.open)
    tasks = await meanwhile(transactions, group, ONE, TWO)
    tasks[1].cancel()
    await asyncio.sleep(0)
    transactions.gate.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert transactions.committed == [uuid(9), uuid(2)]
