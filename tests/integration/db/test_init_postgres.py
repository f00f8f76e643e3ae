from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from consumer.db.database import Database
from consumer.db.init import NotEmptyError, create_shared_tables

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection


async def public_tables(connection: AsyncConnection) -> set[str]:
    return set(await connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")))


@pytest.mark.parametrize(
    ("sql", "name"),
    [
        ("CREATE TABLE produto (id text)", "table produto"),
        ("CREATE VIEW usuario AS SELECT 1", "table usuario"),
        ("CREATE TYPE \"ClasseABC\" AS ENUM ('A')", "type ClasseABC"),
    ],
)
async def test_init_refuses_a_database_with_anything_shared(database_url: str, sql: str, name: str) -> None:
    """A database with one of the tables or types is refused by its name, and nothing is created in it."""
    async with Database.open(database_url) as database, database.engine.connect() as connection:
        await connection.execute(text(sql))
        before = await public_tables(connection)
        with pytest.raises(NotEmptyError, match=name) as refusal:
            await create_shared_tables(connection)
        assert refusal.value.names == [name]
        assert await public_tables(connection) == before


async def test_init_leaves_other_tables_alone(database_url: str) -> None:
    """A table that is not shared does not make a database count as used."""
    async with Database.open(database_url) as database, database.engine.connect() as connection:
        await connection.execute(text("CREATE TABLE spatial_ref_sys (id int)"))
        await create_shared_tables(connection)
        assert len(await public_tables(connection)) == 10


async def test_init_twice_is_refused(database: Database) -> None:
    """What was initialised once cannot be initialised again; every table and type is named."""
    async with database.engine.connect() as connection:
        with pytest.raises(NotEmptyError) as refusal:
            await create_shared_tables(connection)
    assert len(refusal.value.names) == 9 + 12
