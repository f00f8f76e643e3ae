"""The start-up check: differences of live database and mapping that the service would stumble over.

The backend may be ahead: further columns, tables, indexes, enum labels and another default are its own
affair. What counts is a table, column, label, type or key that the service relies on, and a column that it
would have to fill. Foreign keys and non-unique indexes are not compared: none of them changes what a
statement gives.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Final

from consumer.db.reflection import mapped_schema, reflect

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from consumer.db.reflection import ColumnShape, SchemaShape, TableShape

# Only here do keys and columns of the backend that we do not know of stand in the way.
_WRITTEN: Final = frozenset(
    {
        "execucao_planejamento",
        "execucao_step_log",
        "forecast_metrica",
        "forecast_modelo",
        "forecast_resultado",
    }
)
_NO_TABLE: Final = ("table", "missing")  # expected, and found


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as the mapping has it; ``column`` is empty where it concerns the whole table."""

    table: str
    column: str
    expected: str
    found: str


async def differences(connection: AsyncConnection) -> list[Difference]:
    """Compare the mapping with the live database, in two queries; an empty list means that all is well."""
    return compare(mapped_schema(), await reflect(connection))


def format_differences(found: Sequence[Difference]) -> str:
    """All differences in one message, a line each, in aligned columns; where there is no table, what makes them."""
    if {one.table for one in found if (one.expected, one.found) == _NO_TABLE} == set(mapped_schema()["tables"]):
        return (
            "the database has none of the backend's tables: its migrations make them; "
            "in an empty database of your own, run `forecast-consumer db init`"
        )
    rows = [("table", "column", "expected", "found"), *(astuple(difference) for difference in found)]
    widths = [max(len(row[place]) for row in rows) for place in range(4)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    places = "1 place" if len(found) == 1 else f"{len(found)} places"
    return f"the database differs from the mapping in {places}:\n" + "\n".join(f"  {line}" for line in lines)


def compare(expected: SchemaShape, found: SchemaShape) -> list[Difference]:
    """The differences that matter, by table and column."""
    result: list[Difference] = []
    for name, table in expected["tables"].items():
        live = found["tables"].get(name)
        if live is None:
            result.append(Difference(name, "", *_NO_TABLE))
            continue
        result.extend(compare_columns(name, table, live, written=name in _WRITTEN))
        result.extend(_keys(name, table, live))
        result.extend(_labels(name, table, expected, found))
    return result


def compare_columns(name: str, table: TableShape, live: TableShape, *, written: bool) -> Iterator[Difference]:
    """Columns that are missing or of another type, and, where we write, those that we would have to fill."""
    found = {column["name"]: column for column in live["columns"]}
    for column in table["columns"]:
        yield from _column(name, column, found.pop(column["name"], None))
    if not written:
        return
    for column in found.values():
        if not column["nullable"] and "default" not in column:
            yield Difference(name, column["name"], "nullable or with a default", f"{column['type']} NOT NULL")


def _column(table: str, column: ColumnShape, found: ColumnShape | None) -> Iterator[Difference]:
    name = column["name"]
    if found is None:
        yield Difference(table, name, column["type"], "missing")
        return
    if found["type"] != column["type"]:
        yield Difference(table, name, column["type"], found["type"])
    if found["nullable"] != column["nullable"]:
        yield Difference(table, name, _nullability(column), _nullability(found))
    if "default" in column and "default" not in found and not found["nullable"]:
        yield Difference(table, name, "a default", "no default")


def _nullability(column: ColumnShape) -> str:
    return "nullable" if column["nullable"] else "NOT NULL"


def _keys(name: str, table: TableShape, live: TableShape) -> Iterator[Difference]:
    if live["primary_key"] != table["primary_key"]:
        yield Difference(name, "", str(table["primary_key"]), live["primary_key"] or "no primary key")
    for key in table["unique"]:
        if key not in live["unique"]:
            yield Difference(name, "", f"unique {key}", ", ".join(live["unique"]) or "no unique key")
    if name in _WRITTEN:
        for key in live["unique"]:
            if key not in table["unique"]:
                yield Difference(name, "", "no such unique key", f"unique {key}")


def _labels(name: str, table: TableShape, expected: SchemaShape, found: SchemaShape) -> Iterator[Difference]:
    for column in table["columns"]:
        enum = column["type"].strip('"')
        live = found["enums"].get(enum)
        for label in expected["enums"].get(enum, []):
            if live is not None and label not in live:
                yield Difference(name, column["name"], f"label {label}", ", ".join(live))
