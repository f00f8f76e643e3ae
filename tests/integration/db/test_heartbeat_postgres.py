from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest_asyncio
from sqlalchemy import text

from consumer.db.database import Database
from consumer.ports.queue import LeaseState
from tests.builders import uuid
from tests.integration.core.store import Store
from tests.integration.db.blocking import until_blocked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncSession

    from consumer.model import Lease


@pytest_asyncio.fixture
async def store(initialised_database_url: str) -> AsyncIterator[Store]:
    async with Database.open(initialised_database_url) as opened:
        yield Store(opened)


async def leases(store: Store, *numbers: int) -> list[Lease]:
    """Claimed, and run out by now."""
    for number in numbers:
        await store.command(number)
    claims = await store.queue().claim(len(numbers))
    await store.expire_leases()
    return [claim.lease for claim in sorted(claims, key=lambda claim: claim.lease.execucao_id)]


async def lock(session: AsyncSession, number: int) -> None:
    sql = "SELECT FROM forecast_consumer.command WHERE execucao_id = :id AND comando <> 'cancel' FOR UPDATE"
    await session.execute(text(sql), {"id": uuid(number)})


async def valid(store: Store) -> list[str]:
    sql = "SELECT execucao_id FROM forecast_consumer.command WHERE lease_until > clock_timestamp() ORDER BY 1"
    return [row[0] for row in await store.rows(sql)]


async def test_frozen_transaction_costs_no_other_lease(store: Store) -> None:
    """A process that froze with one command locked keeps no heartbeat from prolonging the others."""
    held = await leases(store, 1, 2, 3)
    async with store.database.transaction() as frozen:
        await lock(frozen, 1)
        async with asyncio.timeout(10):
            states = await store.queue(lease_seconds=3.0).extend(held)
        assert await valid(store) == [uuid(2), uuid(3)]
        # Nobody can take it over either, as long as it is locked.
        assert await store.queue("other").claim(5) == []
    assert states == dict.fromkeys(held, LeaseState.HELD)


async def test_heartbeat_waits_for_a_short_transaction(store: Store) -> None:
    """A command that is locked for a moment, as by its own worker's commit, is prolonged right after it."""
    held = await leases(store, 1, 2)
    async with asyncio.timeout(30):
        async with store.database.transaction() as short:
            await lock(short, 1)
            beat = asyncio.create_task(store.queue(lease_seconds=60.0).extend(held))
            await until_blocked(store.database)
        assert await beat == dict.fromkeys(held, LeaseState.HELD)
    assert await valid(store) == [uuid(1), uuid(2)]


async def test_heartbeat_and_intake_lock_in_one_order(store: Store) -> None:
    """A batch that cancels several running executions and a heartbeat of the same ones never wait for each other."""
    held = await leases(store, 1, 2)
    async with asyncio.timeout(30):
        async with store.database.transaction() as batch:
            await lock(batch, 1)
            beat = asyncio.create_task(store.queue(lease_seconds=60.0).extend(held[::-1]))
            await until_blocked(store.database)
            await lock(batch, 2)
        assert await beat == dict.fromkeys(held, LeaseState.HELD)


async def test_lost_lease_is_told_though_its_command_is_locked(store: Store) -> None:
    """Who lost a lease hears so at once, whoever works on the command now."""
    [old] = await leases(store, 1)
    await store.queue("other").claim(1)
    async with store.database.transaction() as other:
        await lock(other, 1)
        async with asyncio.timeout(10):
            assert await store.queue(lease_seconds=600.0).extend([old]) == {old: LeaseState.LOST}
