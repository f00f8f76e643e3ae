from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from sqlalchemy import text

from consumer.db import setup
from consumer.db.database import Database
from consumer.errors import StartupError, TransientError, UnusableDatabaseError
from consumer.exit_codes import ExitCode
from consumer.intake import IntakeReport
from consumer.settings import Settings
from consumer.startup import check_database
from schemas.enums import StatusExecucao
from tests.builders import at, record, uuid
from tests.fakes import CapturedLog, ManualClock
from tests.integration.core.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NEXT_VERSION = Path(__file__).parent / "next_version"


@pytest_asyncio.fixture
async def store(initialised_database_url: str) -> AsyncIterator[Store]:
    async with Database.open(initialised_database_url) as opened:
        yield Store(opened)


@pytest.fixture
def next_version(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """``setup.migrate`` is that of the next version until the patch is undone."""
    monkeypatch.setattr(setup, "VERSION_DIRECTORIES", (*setup.VERSION_DIRECTORIES, NEXT_VERSION))
    return monkeypatch


async def live(store: Store, worker: str, numbers: range, stop: asyncio.Event) -> list[float]:
    """Take in, claim, prolong, work, finish, publish; how long each round took."""
    queue, outbox, rounds = store.queue(worker), store.outbox("relay"), []
    for number in numbers:
        began = time.monotonic()
        await store.command(number)
        for claim in await queue.claim(2):
            await queue.extend([claim.lease])
            async with queue.fenced(claim.lease) as work:
                work.execution.finish(StatusExecucao.CONCLUIDO, at(1), resumo={})
        await outbox.delete([row for row, _ in await outbox.pending(20)])
        rounds.append(time.monotonic() - began)
        if stop.is_set() and len(rounds) > 20:
            break
    return rounds


async def test_old_version_works_on_while_the_next_one_migrates(
    store: Store, initialised_database_url: str, next_version: pytest.MonkeyPatch
) -> None:
    """An additive migration amid live work: no operation of the old version fails, before, meanwhile or after."""
    stop = asyncio.Event()
    async with asyncio.timeout(120), asyncio.TaskGroup() as group:
        old = [
            group.create_task(live(store, f"w{one}", range(one * 1000, one * 1000 + 900), stop)) for one in range(1, 4)
        ]
        await asyncio.sleep(0.3)
        assert await setup.migrate(initialised_database_url) == ("0003", "9999")
        stop.set()
    next_version.undo()
    assert all(len(task.result()) > 20 for task in old)
    unfinished = "SELECT count(*) FROM forecast_consumer.command WHERE state <> 'done'"
    async with asyncio.timeout(30):
        await live(store, "w9", range(9000, 9021), stop)
    assert await store.scalar(unfinished) <= 3


async def test_migration_that_must_wait_lets_the_others_work(
    store: Store, initialised_database_url: str, next_version: pytest.MonkeyPatch
) -> None:
    """Behind a long transaction a migration waits in short turns, so that what queues up behind it goes on between."""
    for name, value in (("LOCK_SECONDS", 0.2), ("PAUSE_SECONDS", 0.2), ("TRIES", 1000)):
        next_version.setattr(setup, name, value)
    async with store.database.transaction() as long:
        await long.execute(text("SELECT FROM forecast_consumer.command"))
        migration = asyncio.create_task(setup.migrate(initialised_database_url))
        async with asyncio.timeout(30):
            rounds = await live(store, "w1", range(1, 60), asyncio.Event())
        assert not migration.done()
    assert await migration == ("0003", "9999")
    assert max(rounds) < 10


async def test_migration_that_never_gets_its_lock_says_so(
    store: Store, initialised_database_url: str, next_version: pytest.MonkeyPatch
) -> None:
    """It gives up after some tries, changes nothing and leaves nothing locked."""
    for name, seconds in (("LOCK_SECONDS", 0.1), ("PAUSE_SECONDS", 0.0)):
        next_version.setattr(setup, name, seconds)
    async with store.database.transaction() as long:
        await long.execute(text("SELECT FROM forecast_consumer.command"))
        with pytest.raises(TransientError, match="forecast_consumer"):
            await setup.migrate(initialised_database_url)
        assert await store.take(record(event_id="a")) == IntakeReport(accepted=1)
    async with store.database.engine.connect() as connection:
        assert await setup.current_revision(connection) == "0003"


async def test_old_version_starts_on_a_newer_schema_that_fits(
    store: Store, initialised_database_url: str, next_version: pytest.MonkeyPatch
) -> None:
    """An instance of the old version that restarts during the upgrade starts, and says that the schema is newer."""
    await setup.migrate(initialised_database_url)
    next_version.undo()
    log = CapturedLog()
    await start(store, initialised_database_url, log)
    [line] = log.entries
    assert (line["event"], line["revision"], line["newest_known"]) == ("schema_is_newer", "9999", "0003")
    assert await setup.migrate(initialised_database_url) == ("9999", "9999")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("ALTER TABLE forecast_consumer.command DROP plan", "plan"),
        ("ALTER TABLE forecast_consumer.command ALTER priority TYPE integer", "smallint"),
        ("ALTER TABLE forecast_consumer.outbox ADD tenant text NOT NULL", "tenant"),
        ("DROP TABLE forecast_consumer.chunk CASCADE", "chunk"),
    ],
)
async def test_old_version_refuses_a_newer_schema_that_does_not_fit(
    store: Store, initialised_database_url: str, change: str, told: str
) -> None:
    """What the old version would stumble over is named before the first command, and what helps as well."""
    await store.execute(change)
    await store.execute("UPDATE forecast_consumer.alembic_version SET version_num = '9999'")
    with pytest.raises(StartupError, match=told) as caught:
        await start(store, initialised_database_url, CapturedLog())
    assert caught.value.exit_code is ExitCode.SCHEMA
    assert "newer version" in str(caught.value)


async def test_changed_column_type_costs_one_attempt(store: Store) -> None:
    """Statements that were prepared before a column changed its type are prepared anew: no command pays for it."""
    await store.command(1)
    await store.queue().claim(1)
    await store.command(2)
    await store.execute("ALTER TABLE forecast_consumer.command ALTER priority TYPE integer")
    claims = []
    for _ in range(3):
        try:
            claims += await store.queue().claim(1)
        except TransientError:
            continue
    assert [claim.lease.execucao_id for claim in claims] == [uuid(2)]


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE forecast_consumer.command RENAME digest TO hash",
        "ALTER TABLE execucao_planejamento RENAME parametros TO parameters",
    ],
)
async def test_good_records_do_not_pay_for_a_schema_that_does_not_fit(store: Store, change: str) -> None:
    """A column that is gone is no fault of a record: none gets a dead letter, and the batch waits for a repair."""
    await store.execute(change)
    batch = [record(event_id=str(number), offset=number) for number in range(3)]
    with pytest.raises(UnusableDatabaseError, match="does not exist"):
        await store.take(*batch)
    assert await store.messages() == []


async def start(store: Store, url: str, log: CapturedLog) -> None:
    await check_database(store.database, Settings(database_url=url, startup_wait_seconds=0.0), ManualClock(), log.log)
