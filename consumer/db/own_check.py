"""Whether the service's own tables are those that this version was written for, or newer ones that it gets on with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from consumer.db.check import Difference, compare_columns, format_differences
from consumer.db.own_tables import SCHEMA, own_metadata
from consumer.db.reflection import mapped_table, reflect_tables
from consumer.db.setup import current_revision, known_revisions, newest_revision

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class OwnSchema:
    """What stands in the schema ``forecast_consumer``.

    Attributes:
        revision: None before the first migration.
        newest_known: The revision that this version was written for.
        newer: A newer version has migrated it.
        problem: Why this version cannot work with it and what helps, None if it can.
    """

    revision: str | None
    newest_known: str
    newer: bool
    problem: str | None


async def look_at_own_schema(connection: AsyncConnection) -> OwnSchema:
    """Compare revisions; of a newer one also the columns: what was only added is in nobody's way."""
    revision, newest = await current_revision(connection), newest_revision()
    if revision == newest:
        return OwnSchema(revision, newest, newer=False, problem=None)
    if revision is None or revision in known_revisions():
        problem = (
            f"the service's own schema {SCHEMA} stands at revision {revision or 'none'}, "
            f"this version needs {newest}; run `forecast-consumer db migrate`"
        )
        return OwnSchema(revision, newest, newer=False, problem=problem)
    found = await _differences(connection)
    return OwnSchema(revision, newest, newer=True, problem=_does_not_fit(revision, newest, found) if found else None)


async def _differences(connection: AsyncConnection) -> list[Difference]:
    wanted = {table.name: mapped_table(table) for table in own_metadata.sorted_tables}
    live = await reflect_tables(connection, wanted, SCHEMA)
    found = [Difference(name, "", "table", "missing") for name in wanted if name not in live]
    for name, shape in live.items():
        found += compare_columns(name, wanted[name], shape, written=True)
    return found


def _does_not_fit(revision: str, newest: str, found: list[Difference]) -> str:
    return (
        f"a newer version has migrated the schema {SCHEMA} to revision {revision}, which this version, written for "
        f"{newest}, cannot work with: install the newer version; {format_differences(found)}"
    )
