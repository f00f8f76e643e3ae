from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from consumer.db.check import Difference, differences, format_differences

if TYPE_CHECKING:
    from consumer.db.database import Database

STATUS_WITHOUT_PARCIAL = """
    CREATE TYPE early AS ENUM ('PENDENTE', 'EXECUTANDO', 'CONCLUIDO', 'ERRO');
    ALTER TABLE execucao_planejamento ALTER status DROP DEFAULT;
    ALTER TABLE execucao_planejamento ALTER status TYPE early USING status::text::early;
    ALTER TABLE execucao_planejamento ALTER status SET DEFAULT 'PENDENTE';
    DROP TYPE "StatusExecucao";
    ALTER TYPE early RENAME TO "StatusExecucao";
"""
BREAKAGES = {
    STATUS_WITHOUT_PARCIAL: Difference(
        "execucao_planejamento", "status", "label PARCIAL", "PENDENTE, EXECUTANDO, CONCLUIDO, ERRO"
    ),
    "DROP TABLE serie_temporal": Difference("serie_temporal", "", "table", "missing"),
    "ALTER TABLE produto DROP preco_venda": Difference("produto", "preco_venda", "numeric(12,4)", "missing"),
    "ALTER TABLE forecast_modelo ALTER tipo_modelo TYPE varchar(20)": Difference(
        "forecast_modelo", "tipo_modelo", "character varying(50)", "character varying(20)"
    ),
    "ALTER TABLE forecast_resultado ALTER p50 TYPE numeric(10,2)": Difference(
        "forecast_resultado", "p50", "numeric(14,4)", "numeric(10,2)"
    ),
    "ALTER TABLE usuario ALTER id TYPE uuid USING NULL": Difference("usuario", "id", "text", "uuid"),
    "ALTER TABLE forecast_metrica ALTER mape SET NOT NULL": Difference(
        "forecast_metrica", "mape", "nullable", "NOT NULL"
    ),
    "ALTER TABLE sku_classification ALTER classe_abc DROP NOT NULL": Difference(
        "sku_classification", "classe_abc", "NOT NULL", "nullable"
    ),
    "ALTER TABLE execucao_step_log ALTER id DROP DEFAULT": Difference(
        "execucao_step_log", "id", "a default", "no default"
    ),
    "DROP INDEX sku_classification_produto_id_key": Difference(
        "sku_classification", "", "unique btree (produto_id)", "no unique key"
    ),
    "ALTER TABLE execucao_step_log DROP CONSTRAINT execucao_step_log_pkey": Difference(
        "execucao_step_log", "", "PRIMARY KEY (id)", "no primary key"
    ),
    "CREATE UNIQUE INDEX ON forecast_resultado (execucao_id)": Difference(
        "forecast_resultado", "", "no such unique key", "unique btree (execucao_id)"
    ),
    "ALTER TABLE execucao_planejamento ADD tenant text NOT NULL": Difference(
        "execucao_planejamento", "tenant", "nullable or with a default", "text NOT NULL"
    ),
}
INDEPENDENT = [sql for sql in BREAKAGES if "usuario" not in sql]


async def broken(database: Database, *statements: str) -> list[Difference]:
    async with database.engine.connect() as connection:
        for statement in ";".join(statements).split(";"):
            if statement.strip():
                await connection.exec_driver_sql(statement)
        return await differences(connection)


async def test_untouched_database_has_no_difference(database: Database) -> None:
    """A database that the backend migrated fully passes."""
    assert await broken(database) == []


@pytest.mark.parametrize("sql", [sql for sql in BREAKAGES if "usuario" not in sql])
async def test_each_breakage_is_named(database: Database, sql: str) -> None:
    """One thing wrong is one difference, with table, column, what was expected and what was found."""
    assert await broken(database, sql) == [BREAKAGES[sql]]


async def test_uuid_ids_are_named(database: Database) -> None:
    """A database whose ids are uuid, where every query would fail, is refused."""
    sql = "ALTER TABLE execucao_planejamento DROP CONSTRAINT execucao_planejamento_created_by_fkey; " + next(
        sql for sql in BREAKAGES if "usuario" in sql
    )
    assert await broken(database, sql) == [Difference("usuario", "id", "text", "uuid")]


async def test_all_breakages_are_named_in_one_message(database: Database) -> None:
    """One message has a line for every difference."""
    found = await broken(database, *INDEPENDENT)
    message = format_differences(found)
    assert sorted(found, key=str) == sorted((BREAKAGES[sql] for sql in INDEPENDENT), key=str)
    lines = [line.split() for line in message.splitlines()]
    for difference in found:
        expected = f"{difference.table} {difference.column} {difference.expected} {difference.found}".split()
        assert expected in lines


async def test_empty_database_lacks_every_table(database_url: str) -> None:
    """A database without any table is told as such, table by table."""
    from consumer.db.database import Database  # noqa: PLC0415 - the fixture of that name is not wanted here

    async with Database.open(database_url) as empty:
        found = await broken(empty)
    assert len(found) == 9
    assert {(difference.expected, difference.found) for difference in found} == {("table", "missing")}


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE execucao_planejamento ADD tenant text",
        "ALTER TABLE execucao_planejamento ADD tenant text NOT NULL DEFAULT ''",
        "ALTER TABLE execucao_planejamento ADD tenant bigint NOT NULL GENERATED ALWAYS AS IDENTITY",
        "ALTER TABLE produto ADD tenant text NOT NULL",
        "ALTER TYPE \"ModeloForecast\" ADD VALUE 'PROPHET'",
        "CREATE TABLE estoque (id text PRIMARY KEY)",
        "ALTER TABLE produto ALTER custo_manutencao_pct_ano SET DEFAULT 30",
        "DROP INDEX forecast_resultado_periodo_idx",
    ],
)
async def test_backend_may_be_ahead(database: Database, sql: str) -> None:
    """What the backend adds without needing our help is no difference."""
    assert await broken(database, sql) == []
