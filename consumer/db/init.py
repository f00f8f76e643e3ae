"""Giving an empty database the backend's tables; where the backend has migrated, this only refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Enum, text

from consumer.db.models import Base

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection


class NotEmptyError(Exception):
    """The database holds shared tables or types already; ``names`` lists them."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(
            f"the database is not empty, it has {', '.join(names)}: the backend's migrations own these, init "
            "is for an empty database only (`db check` compares, `db migrate` makes the service's own tables)"
        )
        self.names = names


async def create_shared_tables(connection: AsyncConnection) -> None:
    """Create the shared tables and their enum types in the caller's transaction.

    Raises:
        NotEmptyError: Any of them exists already; nothing was created.
    """
    existing = await _existing(connection)
    if existing:
        raise NotEmptyError(existing)
    await connection.run_sync(Base.metadata.create_all, checkfirst=False)


async def _existing(connection: AsyncConnection) -> list[str]:
    found = await connection.execute(
        text("""
            SELECT 'table ' || relname FROM pg_class
            WHERE relname = ANY(:tables) AND relkind IN ('r', 'p', 'v', 'm', 'f') AND pg_table_is_visible(oid)
            UNION ALL
            SELECT 'type ' || typname FROM pg_type
            WHERE typname = ANY(:enums) AND typtype = 'e' AND pg_type_is_visible(oid)
            ORDER BY 1
        """),
        {"tables": list(Base.metadata.tables), "enums": enum_names()},
    )
    return list(found.scalars())


def enum_names() -> list[str]:
    """The enum types that the mapping uses, sorted."""
    return sorted(
        {
            str(column.type.name)
            for table in Base.metadata.tables.values()
            for column in table.columns
            if isinstance(column.type, Enum)
        }
    )
