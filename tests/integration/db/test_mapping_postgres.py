from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import inspect
from sqlalchemy.orm import configure_mappers

from consumer.db.models import Base
from consumer.db.reflection import reflect

if TYPE_CHECKING:
    from consumer.db.database import Database

CONTRACT: dict[str, Any] = json.loads(Path(__file__).with_name("database.json").read_text(encoding="utf-8"))
# The only exceptions: these two lead to tables of the backend that are not shared, so the mapping cannot have them.
OUTSIDE = {
    "FOREIGN KEY (categoria_id) REFERENCES categoria(id) ON UPDATE CASCADE ON DELETE SET NULL",
    "FOREIGN KEY (unidade_medida_id) REFERENCES unidade_medida(id) ON UPDATE CASCADE ON DELETE SET NULL",
}


def contract_table(name: str) -> dict[str, Any]:
    """A table of the contract, in which only columns and enum labels have an order that means something."""
    table = CONTRACT["tables"][name]
    outside = OUTSIDE if name == "produto" else set()
    return {
        "columns": table["columns"],
        "primary_key": table["primary_key"],
        "unique": sorted(table["unique"]),
        "indexes": sorted(table["indexes"]),
        "foreign_keys": sorted(set(table["foreign_keys"]) - outside),
    }


async def test_database_made_from_the_mapping_equals_the_contract(database: Database) -> None:
    """What PostgreSQL reports of the mapping's tables is the contract, nothing more and nothing less."""
    async with database.engine.connect() as connection:
        found = await reflect(connection)
    tables = {
        name: {
            key: value if key == "columns" else sorted(value) if isinstance(value, list) else value
            for key, value in table.items()
        }
        for name, table in found["tables"].items()
    }
    assert tables == {name: contract_table(name) for name in CONTRACT["tables"]}
    assert found["enums"] == CONTRACT["enums"]


async def test_database_made_from_the_mapping_has_no_other_table_or_type(database: Database) -> None:
    """Creating the mapping creates the contract's tables and enum types alone."""
    async with database.engine.connect() as connection:
        tables = await connection.exec_driver_sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        enums = await connection.exec_driver_sql("SELECT typname FROM pg_type WHERE typtype = 'e'")
    assert set(tables.scalars()) == set(CONTRACT["tables"])
    assert set(enums.scalars()) == set(CONTRACT["enums"])


def test_the_two_foreign_keys_left_out_are_in_the_contract() -> None:
    """The list of exceptions names foreign keys that the contract really has."""
    assert set(CONTRACT["tables"]["produto"]["foreign_keys"]) == OUTSIDE


def test_no_relationship_loads_by_accident() -> None:
    """Every relationship raises on lazy loading, which asyncio cannot do."""
    configure_mappers()
    relationships = [item for mapper in Base.registry.mappers for item in inspect(mapper).relationships]
    assert relationships
    assert {item.lazy for item in relationships} == {"raise"}


@pytest.mark.parametrize("table", sorted(Base.metadata.tables))
def test_shared_metadata_has_no_schema_of_ours(table: str) -> None:
    """The shared tables are found by the search path, wherever the backend put them."""
    assert Base.metadata.tables[table].schema is None
