from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from consumer.db import setup
from consumer.db.database import Database
from consumer.db.init import NotEmptyError
from consumer.db.own_tables import SCHEMA, own_metadata

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection


def ours_only(_object: object, name: str | None, kind: str, *_: object) -> bool:
    return kind != "table" or name != "alembic_version"


def only_our_schema(name: str | None, kind: str, parents: Any) -> bool:
    return name == SCHEMA if kind == "schema" else parents.get("schema_name") == SCHEMA


def differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(
        connection,
        opts={
            "include_schemas": True,
            "include_name": only_our_schema,
            "include_object": ours_only,
            "compare_type": True,
            "compare_server_default": True,
        },
    )
    return list(compare_metadata(context, own_metadata))


async def test_migrated_schema_is_the_one_in_the_code(database: Database) -> None:
    """The migrations and the table definitions describe the same tables, columns, defaults and indexes."""
    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_partial_indexes_and_storage_are_migrated_too(database: Database) -> None:
    """What the comparison does not look at is there as well: index conditions, checks and storage parameters."""
    async with database.engine.connect() as connection:
        rows = await connection.execute(
            text("SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'forecast_consumer'")
        )
        indexes = {row.indexname: row.indexdef for row in rows}
        options = await connection.scalar(
            text("SELECT reloptions FROM pg_class WHERE oid = 'forecast_consumer.command'::regclass")
        )
    assert "comando <> 'cancel'" in indexes["command_execucao"]
    assert "UNIQUE" in indexes["command_execucao"]
    assert "'queued'" in indexes["command_queue"]
    assert "(id) WHERE (parked_reason IS NULL)" in indexes["outbox_waiting"]
    assert "(created_at) WHERE (parked_reason IS NOT NULL)" in indexes["outbox_parked"]
    assert "fillfactor=80" in options


async def test_migrating_twice_is_harmless(database_url: str) -> None:
    """The first migration says where it came from, the second finds nothing to do."""
    newest = setup.newest_revision()
    assert await setup.migrate(database_url) == (None, newest)
    assert await setup.migrate(database_url) == (newest, newest)


async def test_downgrade_and_upgrade_lead_back(database: Database) -> None:
    """Going down to nothing removes our tables, and going up again gives the same schema."""
    async with database.engine.begin() as connection:
        await connection.run_sync(_run, command.downgrade, "base")
        left = await connection.scalar(
            text(
                "SELECT count(*) FROM pg_tables"
                " WHERE schemaname = 'forecast_consumer' AND tablename <> 'alembic_version'"
            )
        )
        assert left == 0
        assert await setup.current_revision(connection) is None
        await setup.migrate_connection(connection)
        assert await connection.run_sync(differences) == []


def _run(connection: Connection, what: Any, revision: str) -> None:
    config: Config = setup._config()
    config.attributes["connection"] = connection
    what(config, revision)


async def test_migration_touches_nothing_of_the_backend(database_url: str) -> None:
    """Our migrations create objects in our schema alone."""
    await setup.migrate(database_url)
    async with Database.open(database_url) as database, database.engine.connect() as connection:
        schemas = await connection.scalars(
            text(
                "SELECT DISTINCT nspname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
                " WHERE nspname NOT LIKE 'pg_%' AND nspname <> 'information_schema'"
            )
        )
        assert set(schemas) == {SCHEMA}


async def test_initialise_refuses_a_database_with_tables(initialised_database_url: str) -> None:
    """Creating the backend's tables is for empty databases only."""
    with pytest.raises(NotEmptyError):
        await setup.initialise(initialised_database_url)
