from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import pytest

from consumer.db.check import Difference, compare, differences, format_differences
from consumer.db.reflection import mapped_schema
from tests.unit.db.sessions import session_answering

if TYPE_CHECKING:
    from consumer.db.reflection import SchemaShape


@pytest.fixture
def found() -> SchemaShape:
    return copy.deepcopy(mapped_schema())


def column(schema: SchemaShape, table: str, name: str) -> dict[str, object]:
    return next(column for column in schema["tables"][table]["columns"] if column["name"] == name)


def test_mapping_does_not_differ_from_itself(found: SchemaShape) -> None:
    """What the mapping says is what the check expects."""
    assert compare(mapped_schema(), found) == []


def test_types_are_spelled_as_postgresql_reports_them(found: SchemaShape) -> None:
    """Each kind of type has format_type's name."""
    kinds = {
        ("execucao_planejamento", "id"): "text",
        ("execucao_planejamento", "tipo"): '"TipoExecucao"',
        ("execucao_planejamento", "parametros"): "jsonb",
        ("execucao_planejamento", "created_at"): "timestamp with time zone",
        ("execucao_step_log", "id"): "bigint",
        ("execucao_step_log", "step_name"): "character varying(50)",
        ("execucao_step_log", "step_order"): "smallint",
        ("forecast_metrica", "classe_abc"): "character(1)",
        ("forecast_modelo", "is_champion"): "boolean",
        ("forecast_resultado", "periodo"): "date",
        ("forecast_resultado", "p10"): "numeric(14,4)",
        ("forecast_resultado", "horizonte_semanas"): "integer",
    }
    assert {key: column(found, *key)["type"] for key in kinds} == kinds


def test_missing_label_is_told_for_each_column_of_its_type(found: SchemaShape) -> None:
    """An enum without a label concerns every column of that type."""
    found["enums"]["ClasseABC"].remove("C")
    assert compare(mapped_schema(), found) == [Difference("sku_classification", "classe_abc", "label C", "A, B")]


def test_default_that_is_missing_counts_where_a_value_is_needed(found: SchemaShape) -> None:
    """A nullable column needs no default, a NOT NULL one does."""
    del column(found, "produto", "lote_minimo")["default"]
    del column(found, "serie_temporal", "created_at")["default"]
    assert compare(mapped_schema(), found) == [Difference("serie_temporal", "created_at", "a default", "no default")]


def test_message_is_aligned() -> None:
    """Columns of the message begin at the same place in every line, and one difference is one place."""
    rows = [Difference("produto", "id", "text", "uuid"), Difference("serie_temporal", "", "table", "missing")]
    assert format_differences(rows).splitlines() == [
        "the database differs from the mapping in 2 places:",
        "  table           column  expected  found",
        "  produto         id      text      uuid",
        "  serie_temporal          table     missing",
    ]
    assert format_differences(rows[:1]).startswith("the database differs from the mapping in 1 place:")


def test_a_database_without_tables_is_told_what_makes_them() -> None:
    """In one line; where one table is there, the others are named one by one."""
    mapped = mapped_schema()
    told = format_differences(compare(mapped, {**mapped, "tables": {}}))
    assert "none of the backend's tables" in told
    assert "forecast-consumer db init" in told
    assert "\n" not in told
    one: SchemaShape = {**mapped, "tables": {"produto": mapped["tables"]["produto"]}}
    assert "serie_temporal" in format_differences(compare(mapped, one))


async def test_check_takes_two_queries() -> None:
    """However many tables: one query for tables, one for enums."""
    connection = session_answering()
    missing = await differences(connection)
    assert len(missing) == 9
    assert connection.execute.await_count == 2
