from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from consumer.db.database import Database
from tests.integration.core.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture
async def database(initialised_database_url: str) -> AsyncIterator[Database]:
    """A database of this test with all tables, all empty."""
    async with Database.open(initialised_database_url) as opened:
        yield opened


@pytest.fixture
def store(database: Database) -> Store:
    """The core's adapters on it."""
    return Store(database)
