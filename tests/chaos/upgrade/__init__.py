"""A simulated next version of the service: its code is the same, its schema has one additive migration more.

There is only one version so far. What a rolling upgrade needs is here all the same: a process that refuses the schema
before its migration, a migration under load, and processes of both versions on the migrated schema.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from consumer.db import setup
from consumer.db.database import Database

if TYPE_CHECKING:
    from sqlalchemy import Connection

VARIABLE: Final = "CHAOS_VERSION"
NEXT: Final = "next"
LOCK_TIMEOUT: Final = "2s"
_TODAY: Final = setup.VERSION_DIRECTORIES
_NEXT: Final = (*_TODAY, Path(__file__).parent / "versions")


def become_next() -> None:
    """From here on this process is of the next version."""
    setup.VERSION_DIRECTORIES = _NEXT  # type: ignore[misc]  # only here does a version become another


def revision_of_today() -> str:
    """What the next version's migration follows."""
    return max(path.name.split("_")[0] for directory in _TODAY for path in directory.glob("[0-9]*_*.py"))


async def migrate(url: str) -> None:
    """Bring the schema to the next version while the service runs; fails rather than wait long for a lock."""
    async with (
        Database.open(url, application_name="chaos migration") as database,
        database.engine.begin() as connection,
    ):
        await connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
        await connection.execute(text("SET LOCAL statement_timeout = 0"))
        await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415

    config = setup._config()
    config.set_main_option("version_locations", os.pathsep.join(map(str, _NEXT)))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
