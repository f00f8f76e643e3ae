"""Two executions side by side: what the database can tell of their difference without moving their rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select, text

from consumer.db.own_tables import command
from consumer.db.repositories.execution_repo import ExecutionRepository
from consumer.db.repositories.forecast_repo import ForecastRepository

if TYPE_CHECKING:
    from sqlalchemy import RowMapping
    from sqlalchemy.ext.asyncio import AsyncSession

QUANTILES: Final = ("p10", "p25", "p50", "p75", "p90")
_FORECAST: Final = (*QUANTILES, "modelo_usado")
ERRORS: Final = ("mape", "mae", "rmse", "bias")

_RESULTS: Final = f"""
    WITH a AS (SELECT * FROM forecast_resultado WHERE execucao_id = :a),
         b AS (SELECT * FROM forecast_resultado WHERE execucao_id = :b)
    SELECT count(*) FILTER (WHERE a.id IS NOT NULL) AS rows_a, count(*) FILTER (WHERE b.id IS NOT NULL) AS rows_b,
           count(*) FILTER (WHERE a.id IS NULL OR b.id IS NULL) AS unpaired,
           count(*) FILTER (WHERE a.id IS NOT NULL AND b.id IS NOT NULL AND (
               {" OR ".join(f"a.{name} IS DISTINCT FROM b.{name}" for name in _FORECAST)})) AS differing,
           max(greatest({", ".join(f"abs(a.{name} - b.{name})" for name in QUANTILES)})) AS largest
      FROM a FULL JOIN b USING (produto_id, periodo, target_type)"""  # noqa: S608 - made of the constants above
_METRICS: Final = f"""
    WITH a AS (SELECT * FROM forecast_metrica WHERE execucao_id = :a),
         b AS (SELECT * FROM forecast_metrica WHERE execucao_id = :b)
    SELECT count(*) FILTER (WHERE a.id IS NOT NULL) AS rows_a, count(*) FILTER (WHERE b.id IS NOT NULL) AS rows_b,
           count(*) FILTER (WHERE a.id IS NULL OR b.id IS NULL) AS unpaired,
           count(*) FILTER (WHERE a.id IS NOT NULL AND b.id IS NOT NULL AND (
               {" OR ".join(f"a.{name} IS DISTINCT FROM b.{name}" for name in ERRORS)})) AS differing,
           max(greatest({", ".join(f"abs(a.{name} - b.{name})" for name in ERRORS)})) AS largest
      FROM a FULL JOIN b USING (produto_id, modelo)"""  # noqa: S608 - likewise
_ONLY: Final = """
    SELECT DISTINCT produto_id FROM {table} WHERE execucao_id = :a
    EXCEPT SELECT DISTINCT produto_id FROM {table} WHERE execucao_id = :b ORDER BY 1"""
_COMMAND: Final = select(command.c.comando, command.c.payload, command.c.replay_of)


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two.

    Attributes:
        parameters: What was commanded, without the id that it was commanded under.
        summary: ``resultado_resumo``, empty without one.
        libraries: Versions by name, of the models that it trained.
    """

    execucao_id: str
    status: str
    error: str | None
    replay_of: str | None
    parameters: dict[str, Any]
    summary: dict[str, Any]
    libraries: dict[str, str]


@dataclass(frozen=True, slots=True)
class RowDifference:
    """Rows of a table that belong together by product, and week and target or model.

    Attributes:
        unpaired: Rows that only one of the two has.
        differing: Pairs in which a value differs.
        largest: The largest difference of a value, in the value's unit; None without a pair.
        only_a: Products of the first alone, likewise ``only_b``.
    """

    rows_a: int
    rows_b: int
    unpaired: int
    differing: int
    largest: float | None
    only_a: list[str]
    only_b: list[str]

    @property
    def equal(self) -> bool:
        """Whether every row has its like."""
        return not self.unpaired and not self.differing


async def read_side(session: AsyncSession, execucao_id: str) -> Side | None:
    """One execution; None if there is none of this id."""
    execution = await ExecutionRepository(session).get(execucao_id)
    if execution is None:
        return None
    own = _COMMAND.where(command.c.execucao_id == execucao_id, command.c.comando != "cancel")
    row = (await session.execute(own)).mappings().one_or_none()
    models = await ForecastRepository(session).list_models(execucao_id=execucao_id)
    found = [(model.parametros or {}).get("libraries", {}) for model in models]
    return Side(
        execucao_id=execution.id,
        status=execution.status.value,
        error=execution.error_message,
        replay_of=None if row is None else row["replay_of"],
        parameters=_parameters(row, execution.parametros or {}),
        summary=execution.resultado_resumo or {},
        libraries=found[0] if found else {},
    )


async def compare_results(session: AsyncSession, a: str, b: str) -> RowDifference:
    """Rows of ``forecast_resultado`` by product, week and target."""
    return await _compare(session, _RESULTS, "forecast_resultado", a, b)


async def compare_metrics(session: AsyncSession, a: str, b: str) -> RowDifference:
    """Rows of ``forecast_metrica`` by product and model."""
    return await _compare(session, _METRICS, "forecast_metrica", a, b)


async def _compare(session: AsyncSession, sql: str, table: str, a: str, b: str) -> RowDifference:
    row = (await session.execute(text(sql), {"a": a, "b": b})).one()
    only = text(_ONLY.format(table=table))
    only_a = list(await session.scalars(only, {"a": a, "b": b}))
    only_b = list(await session.scalars(only, {"a": b, "b": a}))
    largest = None if row.largest is None else float(row.largest)
    return RowDifference(row.rows_a, row.rows_b, row.unpaired, row.differing, largest, only_a, only_b)


def _parameters(row: RowMapping | None, parametros: dict[str, Any]) -> dict[str, Any]:
    told = parametros if row is None else {"comando": row["comando"], **row["payload"]}
    return {name: value for name, value in told.items() if name != "execucao_id"}
