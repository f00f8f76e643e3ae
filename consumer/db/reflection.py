"""What PostgreSQL reports of the shared tables, and what the mapping says of them, in one shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from sqlalchemy import URL, Column, Enum, Table, text

from consumer.db.models import Base

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.ext.asyncio import AsyncConnection


class ColumnShape(TypedDict, total=False):
    """A column as ``format_type`` and ``pg_get_expr`` spell it; without a default the key is absent."""

    name: str
    type: str
    nullable: bool
    default: str


class TableShape(TypedDict):
    """A table; keys, indexes and foreign keys as PostgreSQL writes their definitions, without their names."""

    columns: list[ColumnShape]
    primary_key: str | None
    unique: list[str]
    indexes: list[str]
    foreign_keys: list[str]


class SchemaShape(TypedDict):
    """Tables by name, and the labels of each enum type by its name."""

    tables: dict[str, TableShape]
    enums: dict[str, list[str]]


_TABLES = text("""
    SELECT
        relname,
        (
            SELECT json_agg(
                json_strip_nulls(json_build_object(
                    'name', attname,
                    'type', format_type(atttypid, atttypmod),
                    'nullable', NOT attnotnull,
                    'default', coalesce(
                        pg_get_expr(adbin, adrelid), CASE WHEN attidentity <> '' THEN 'identity' END
                    )
                )) ORDER BY attnum
            )
            FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
            WHERE attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
        ) AS columns,
        (
            SELECT json_agg(json_build_object(
                'unique', indisunique,
                'definition', regexp_replace(pg_get_indexdef(indexrelid), '^.*? USING ', '')
            ) ORDER BY indexrelid)
            FROM pg_index WHERE indrelid = pg_class.oid AND NOT indisprimary
        ) AS indexes,
        (
            SELECT json_agg(
                json_build_object('kind', contype, 'definition', pg_get_constraintdef(oid)) ORDER BY oid
            )
            FROM pg_constraint WHERE conrelid = pg_class.oid AND contype IN ('p', 'f')
        ) AS constraints
    FROM pg_class
    WHERE relname = ANY(:names) AND relkind IN ('r', 'p')
      AND CASE WHEN cast(:schema AS text) IS NULL THEN pg_table_is_visible(oid)
               ELSE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = cast(:schema AS text)) END
    ORDER BY relname
""")
_ENUMS = text("""
    SELECT typname, array_agg(enumlabel::text ORDER BY enumsortorder)
    FROM pg_type JOIN pg_enum ON enumtypid = pg_type.oid
    WHERE typname = ANY(:names) AND pg_type_is_visible(pg_type.oid)
    GROUP BY typname
    ORDER BY typname
""")


async def reflect(connection: AsyncConnection) -> SchemaShape:
    """Ask PostgreSQL, in two queries, for the tables and enum types that the mapping names and that exist."""
    wanted = mapped_schema()
    tables = await reflect_tables(connection, wanted["tables"])
    enums = await connection.execute(_ENUMS, {"names": list(wanted["enums"])})
    return {"tables": tables, "enums": {name: list(labels) for name, labels in enums}}


async def reflect_tables(
    connection: AsyncConnection, names: Iterable[str], schema: str | None = None
) -> dict[str, TableShape]:
    """Those of the named tables that exist, in one schema or, without one, on the search path."""
    rows = await connection.execute(_TABLES, {"names": list(names), "schema": schema})
    return {row.relname: _table_shape(row.columns, row.indexes, row.constraints) for row in rows}


def mapped_schema() -> SchemaShape:
    """The mapping in the shape of ``reflect``, as far as ``consumer.db.check`` compares it.

    Non-unique indexes and foreign keys are left empty, and a default tells only that there is one.
    """
    tables = Base.metadata.tables
    columns = [column for table in tables.values() for column in table.columns]
    enums = {column.type.name: list(column.type.enums) for column in columns if isinstance(column.type, Enum)}
    return {
        "tables": {name: mapped_table(table) for name, table in sorted(tables.items())},
        "enums": {str(name): labels for name, labels in sorted(enums.items(), key=lambda item: str(item[0]))},
    }


def _table_shape(
    columns: list[ColumnShape] | None,
    indexes: list[dict[str, Any]] | None,
    constraints: list[dict[str, Any]] | None,
) -> TableShape:
    keys = [entry["definition"] for entry in constraints or [] if entry["kind"] == "p"]
    return {
        "columns": columns or [],
        "primary_key": keys[0] if keys else None,
        "unique": [entry["definition"] for entry in indexes or [] if entry["unique"]],
        "indexes": [entry["definition"] for entry in indexes or [] if not entry["unique"]],
        "foreign_keys": [entry["definition"] for entry in constraints or [] if entry["kind"] == "f"],
    }


def mapped_table(table: Table) -> TableShape:
    """One table of a mapping in the same shape."""
    return {
        "columns": [_mapped_column(column) for column in table.columns],
        "primary_key": f"PRIMARY KEY {_listed(table.primary_key.columns)}",
        "unique": [f"btree {_listed(index.columns)}" for index in table.indexes if index.unique],
        "indexes": [],
        "foreign_keys": [],
    }


def _mapped_column(column: Column[Any]) -> ColumnShape:
    shape: ColumnShape = {
        "name": column.name,
        "type": _type_name(column),
        "nullable": bool(column.nullable),
    }
    if column.server_default is not None or column is column.table.autoincrement_column:
        shape["default"] = "set"
    return shape


def _type_name(column: Column[Any]) -> str:
    """The name that PostgreSQL's ``format_type`` gives to the type that SQLAlchemy spells in its own way."""
    if isinstance(column.type, Enum):
        return f'"{column.type.name}"'
    dialect = URL.create("postgresql+asyncpg").get_dialect()()
    spelled = column.type.compile(dialect=dialect).lower().replace(", ", ",")
    return spelled.replace("varchar", "character varying").replace("char(", "character(")


def _listed(columns: Iterable[Column[Any]]) -> str:
    return f"({', '.join(column.name for column in columns)})"
