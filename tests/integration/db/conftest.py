from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from consumer.db.database import Database
from consumer.db.init import create_shared_tables
from tests.integration.db.seed import Seed
from tests.support.databases import temporary_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_template(postgres_url: str) -> AsyncIterator[str]:
    """Name of a database with the shared tables alone, all empty, to be copied."""
    async with temporary_database(postgres_url) as url:
        async with Database.open(url) as opened, opened.engine.begin() as connection:
            await create_shared_tables(connection)
        yield url.partition("?")[0].rpartition("/")[2]


@pytest_asyncio.fixture
async def database(postgres_url: str, shared_template: str) -> AsyncIterator[Database]:
    """A database of this test with the shared tables, all empty."""
    async with temporary_database(postgres_url, shared_template) as url, Database.open(url) as opened:
        yield opened


@pytest.fixture
def seed(database: Database) -> Seed:
    """Puts rows of the backend into the database."""
    return Seed(database)
