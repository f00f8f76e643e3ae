from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from consumer.clock import SystemClock
from consumer.db.database import Database
from consumer.db.queue import SqlCommandQueue
from tests.builders import COMPOSER, uuid
from tests.fakes import CapturedLog
from tests.integration.core.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NEWER = {
    "a field that only a newer version knows": "payload = payload || '{\"ensemble_depth\": 3}'",
    "a value that only a newer version takes": "payload = payload || '{\"horizonte_semanas\": 104}'",
    "no object at all": "payload = '[]'",
    "a kind of command that only a newer version knows": "comando = 'simulate'",
}


@pytest_asyncio.fixture
async def store(initialised_database_url: str) -> AsyncIterator[Store]:
    async with Database.open(initialised_database_url) as opened:
        yield Store(opened)


def queue_of(store: Store, log: CapturedLog) -> SqlCommandQueue:
    return SqlCommandQueue(
        store.database, COMPOSER, SystemClock(), lambda _: None, owner="old", lease_seconds=30.0, log=log.log
    )


async def newer(store: Store, number: int, change: str) -> None:
    """What a newer version would have written."""
    await store.execute(f"UPDATE forecast_consumer.command SET {change} WHERE execucao_id = :id", id=uuid(number))


@pytest.mark.parametrize("change", NEWER.values(), ids=NEWER)
async def test_command_of_a_newer_version_waits_for_one(store: Store, change: str) -> None:
    """It costs no attempt and none of its neighbours: it stays queued for later, and a warning says what and why."""
    for number in (1, 2, 3):
        await store.command(number, priority=number)
    await newer(store, 1, change)
    log = CapturedLog()
    claims = await queue_of(store, log).claim(2)
    assert [claim.lease.execucao_id for claim in claims] == [uuid(2), uuid(3)]
    row = await store.row(1)
    assert (row["state"], row["attempt"], row["lease_owner"], row["lease_until"]) == ("queued", 0, None, None)
    wait = "SELECT extract(epoch FROM available_at - now()) FROM forecast_consumer.command WHERE execucao_id = :id"
    assert 50 < float(await store.scalar(wait, id=uuid(1))) <= 60
    [warning] = log.entries
    assert (warning["event"], warning["log_level"], warning["execucao_id"]) == (
        "command_unreadable",
        "warning",
        uuid(1),
    )
    assert warning["field"] in ("ensemble_depth", "horizonte_semanas", "value", "comando")


async def test_newer_version_takes_what_an_older_one_left(store: Store) -> None:
    """Once it can be read and its pause is over the command runs, as its first attempt."""
    await store.command(1)
    await newer(store, 1, "payload = payload || '{\"ensemble_depth\": 3}'")
    assert await queue_of(store, CapturedLog()).claim(1) == []
    await newer(store, 1, "payload = payload - 'ensemble_depth', available_at = now()")
    [claim] = await queue_of(store, CapturedLog()).claim(1)
    assert (claim.lease.execucao_id, claim.attempt) == (uuid(1), 1)


async def test_many_unreadable_commands_hold_up_nobody(store: Store) -> None:
    """However many of them come first, the worker that has room for one finds the one that it can run."""
    for number in range(1, 31):
        await store.command(number, priority=0)
        await newer(store, number, "payload = '[]'")
    await store.command(99, priority=9)
    [claim] = await queue_of(store, CapturedLog()).claim(1)
    assert claim.lease.execucao_id == uuid(99)


async def test_unreadable_command_can_still_be_cancelled(store: Store) -> None:
    """Nobody needs to read it to end it."""
    await store.command(1)
    await newer(store, 1, "payload = '[]'")
    assert await queue_of(store, CapturedLog()).claim(1) == []
    await store.cancel(1)
    assert await store.status(uuid(1)) == "ERRO"
