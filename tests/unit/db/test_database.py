from __future__ import annotations

import asyncio
from unittest.mock import AsyncMock, Mock

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from consumer.db.database import Database


def database_with(*connections: Mock, dispose: AsyncMock) -> Database:
    engine = Mock(spec=AsyncEngine, dispose=dispose)
    database = Database(engine, async_sessionmaker(engine), engine)
    for connection in connections:
        database._remember(Mock(driver_connection=connection), None)
    return database


def connection(*, closed: bool) -> Mock:
    return Mock(is_closed=Mock(return_value=closed))


async def wait_for_ever() -> None:
    await asyncio.Event().wait()


async def test_dispose_cuts_off_what_does_not_close() -> None:
    """With a server that never answers, dispose ends after its grace and terminates the open connections alone."""
    frozen, gone = connection(closed=False), connection(closed=True)
    database = database_with(frozen, gone, dispose=AsyncMock(side_effect=wait_for_ever))
    async with asyncio.timeout(5):
        await database.dispose(grace=0.01)
    frozen.terminate.assert_called_once_with()
    gone.terminate.assert_not_called()


async def test_dispose_survives_a_server_that_is_gone() -> None:
    """Errors of saying goodbye are nobody's business any more."""
    database = database_with(dispose=AsyncMock(side_effect=ConnectionResetError))
    await database.dispose()


async def test_cancelled_dispose_still_cuts_off() -> None:
    """A shutdown that is itself cut short leaves no connection behind."""
    frozen = connection(closed=False)
    database = database_with(frozen, dispose=AsyncMock(side_effect=wait_for_ever))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await database.dispose()
    frozen.terminate.assert_called_once_with()


async def test_bad_url_opens_nothing() -> None:
    """A URL that cannot be understood fails before there is anything to close."""
    with pytest.raises(ValueError, match="scheme"):
        async with Database.open("mysql://u:p@db/plan"):
            pytest.fail("opened")


async def test_pool_is_as_configured() -> None:
    """The engine keeps the connections asked for, 10 and 20 more by default, and leaves testing them to us."""
    async with Database.open("postgresql://u:p@db/plan") as database:
        pool = database.engine.pool
        assert (pool.size(), pool._max_overflow, pool._pre_ping, pool._timeout) == (10, 20, False, 10)
    async with Database.open("postgresql://u:p@db/plan", pool_size=2, max_overflow=0, pool_timeout=1) as database:
        pool = database.engine.pool
        assert (pool.size(), pool._max_overflow, pool._timeout) == (2, 0, 1)
