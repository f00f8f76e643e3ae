"""Bringing a database into the state that the service needs: our schema migrated, or everything made anew."""

from __future__ import annotations

import asyncio
import os
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from consumer.db.database import Database
from consumer.db.init import create_shared_tables
from consumer.db.own_tables import SCHEMA
from consumer.errors import TransientError

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy.ext.asyncio import AsyncConnection

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
VERSION_DIRECTORIES: Final = (_MIGRATIONS / "versions",)
# Two processes that migrate at once must take turns; the lock ends with the transaction, also behind PgBouncer.
_MIGRATION_LOCK: Final = 0x666F7265
# While a migration waits for a table, everybody else waits behind it: so it waits briefly, and tries again.
LOCK_SECONDS: Final = 2.0
PAUSE_SECONDS: Final = 2.0
TRIES: Final = 10
_LOCK_NOT_AVAILABLE: Final = "55P03"
_LOCK_TIMEOUT: Final = text("SELECT set_config('lock_timeout', :milliseconds, true)")


async def initialise(url: str) -> None:
    """Create the backend's tables and ours in an empty database (demo, tests, docker-compose).

    Raises:
        consumer.db.init.NotEmptyError: The database holds any of the shared tables or types already.
    """
    async with Database.open(url) as database, database.engine.begin() as connection:
        await create_shared_tables(connection)
        await migrate_connection(connection)


async def migrate(url: str) -> tuple[str | None, str]:
    """Bring our own schema to the newest revision; one that a newer version has migrated is left as it is.

    Returns:
        The revision before (None where there was none) and after.

    Raises:
        TransientError: Others hold the tables for so long that nothing was changed.
    """
    async with Database.open(url) as database:
        for _ in range(TRIES):
            try:
                async with database.engine.begin() as connection:
                    await connection.execute(_LOCK_TIMEOUT, {"milliseconds": str(int(LOCK_SECONDS * 1000))})
                    return await migrate_connection(connection)
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                    raise
            await asyncio.sleep(PAUSE_SECONDS)
    raise TransientError(
        f"the schema {SCHEMA} was not migrated: its tables were in use at each of {TRIES} tries; "
        "end the oldest transactions in pg_stat_activity and migrate again"
    )


async def migrate_connection(connection: AsyncConnection) -> tuple[str | None, str]:
    """The same within the caller's transaction, waiting as long as it takes."""
    await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
    await connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
    before = await current_revision(connection)
    if before is not None and before not in known_revisions():
        return before, before
    await connection.run_sync(_upgrade)
    return before, str(await current_revision(connection))


async def current_revision(connection: AsyncConnection) -> str | None:
    """The revision that the database's own schema stands at, None before the first migration."""
    table = await connection.scalar(text("SELECT to_regclass(:name)"), {"name": f"{SCHEMA}.alembic_version"})
    if table is None:
        return None
    revision = await connection.scalar(text(f"SELECT version_num FROM {SCHEMA}.alembic_version"))  # noqa: S608 - a constant
    return None if revision is None else str(revision)


def newest_revision() -> str:
    """The revision that this version of the service was written for."""
    return max(known_revisions())


def known_revisions() -> frozenset[str]:
    """All revisions that this version has; another one was made by a newer version.

    They are numbers in order, with which the names of their files begin: to ask Alembic costs a start 0.2 s.
    """
    files = chain.from_iterable(directory.glob("[0-9]*_*.py") for directory in VERSION_DIRECTORIES)
    return frozenset(path.name.split("_")[0] for path in files)


def _upgrade(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 - 0.3 s that only migrations pay

    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    from alembic.config import Config  # noqa: PLC0415 - 0.3 s that only migrations pay

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_locations", os.pathsep.join(map(str, VERSION_DIRECTORIES)))
    return config
