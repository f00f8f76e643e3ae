from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest_asyncio

from consumer.db.database import Database
from consumer.intake import Intake, IntakeReport
from tests.builders import COMMAND_TOPICS, record, uuid
from tests.integration.core.store import Store
from tests.integration.db.blocking import until_blocked
from tests.integration.db.machine.model import no_new_id
from tests.unit.core.inbox_suite import letters, rejections, statuses

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from consumer.db.inbox import SqlInboxTransaction
    from schemas.records import RawRecord


@pytest_asyncio.fixture
async def store(initialised_database_url: str) -> AsyncIterator[Store]:
    async with Database.open(initialised_database_url) as opened:
        yield Store(opened)


class SlowMember:
    """A member of the group that has done everything with a batch but the commit."""

    def __init__(self, store: Store, *batch: RawRecord) -> None:
        self._inbox = store.inbox
        self._batch = batch
        self._done = asyncio.Event()
        self._go_on = asyncio.Event()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[SqlInboxTransaction]:
        async with self._inbox.transaction() as work:
            yield work
            self._done.set()
            await self._go_on.wait()

    @asynccontextmanager
    async def holding(self) -> AsyncIterator[asyncio.Task[IntakeReport]]:
        """It commits when the block ends."""
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            task = group.create_task(Intake(self, COMMAND_TOPICS, no_new_id).take(self._batch))
            await self._done.wait()
            yield task
            self._go_on.set()


async def test_record_that_another_member_refuses_is_not_accepted(store: Store) -> None:
    """Two members hold one record, and its user appears in between: it keeps its one dead letter, and never runs."""
    raw = record(data={"execucao_id": uuid(1), "created_by": "u1"}, event_id="a")
    async with SlowMember(store, raw).holding() as first:
        await store.user("u1")
        second = asyncio.create_task(store.take(raw))
        await until_blocked(store.database)
    assert (await first, await second) == (IntakeReport(refused=1), IntakeReport())
    messages = await store.messages()
    assert (letters(messages), rejections(messages), await store.executions()) == (1, ["unknown-user"], 0)


async def test_record_that_another_member_accepts_is_not_refused(store: Store) -> None:
    """Two members hold one record, and its execution appears in between: a cancellation is taken once, or refused."""
    raw = record("cancel", {"execucao_id": uuid(1)}, event_id="c")
    await store.pendente(uuid(1))
    async with SlowMember(store, raw).holding() as first:
        second = asyncio.create_task(store.take(raw))
        await until_blocked(store.database)
    assert (await first, await second) == (IntakeReport(cancels=1), IntakeReport(duplicates=1))
    messages = await store.messages()
    assert (letters(messages), [one["status"] for one in statuses(messages)]) == (0, ["ERRO"])


async def test_bad_record_of_two_members_has_one_dead_letter(store: Store) -> None:
    """Two members hold one unreadable record, and the first commits late: one dead letter, one rejection."""
    raw = record(value=b"?")
    async with SlowMember(store, raw).holding() as first:
        second = asyncio.create_task(store.take(raw))
        await until_blocked(store.database)
    assert (await first, await second) == (IntakeReport(refused=1), IntakeReport())
    messages = await store.messages()
    assert (letters(messages), len(rejections(messages))) == (1, 1)


async def test_members_of_other_partitions_do_not_wait(store: Store) -> None:
    """A member that is slow to commit holds up nobody who reads other partitions."""
    async with SlowMember(store, record(data={"execucao_id": uuid(1)}, event_id="a")).holding():
        other = record(data={"execucao_id": uuid(2)}, event_id="b", partition=1)
        assert await store.take(other) == IntakeReport(accepted=1)


async def test_bad_record_cannot_end_an_execution_that_is_being_adopted(store: Store) -> None:
    """While one member adopts an execution, another reads a bad record that names it: it stays the adopter's."""
    await store.pendente(uuid(1))
    good = record(data={"execucao_id": uuid(1)}, event_id="a")
    bad = record(data={"execucao_id": uuid(1), "horizonte_semanas": 0}, event_id="b", partition=1)
    async with SlowMember(store, good).holding():
        second = asyncio.create_task(store.take(bad))
        await until_blocked(store.database)
    assert await second == IntakeReport(refused=1)
    assert await store.status(uuid(1)) == "PENDENTE"
    assert [one["status"] for one in statuses(await store.messages())] == ["PENDENTE"]


async def test_commands_are_inserted_in_one_order(store: Store) -> None:
    """Whatever order a batch has: two members with the same commands from several partitions cannot deadlock."""
    names = ("c", "a", "d", "b")
    await store.take(*(record(event_id=name, offset=offset) for offset, name in enumerate(names)))
    assert await store.rows("SELECT event_id FROM forecast_consumer.command ORDER BY ctid") == [
        (name,) for name in sorted(names)
    ]
    assert [one["sequence"] for one in await store.events()] == [1] * 4
