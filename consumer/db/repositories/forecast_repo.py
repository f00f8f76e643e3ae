"""What executions leave behind for planners: forecasts, errors, trained models."""

from __future__ import annotations

import asyncio
from io import BytesIO
from typing import TYPE_CHECKING, Final, Literal

from sqlalchemy import Double, Select, cast, select, text, update

from consumer.db.driver import driver_connection
from consumer.db.models import ForecastModelo, ForecastResultado
from consumer.db.repositories.filters import any_of
from consumer.db.repositories.metric_rows import METRIC_COLUMNS, metric_id, metric_rows
from consumer.db.repositories.records import ForecastRow, MetricsWritten, ModelRecord, NewModel
from consumer.db.repositories.result_rows import RESULT_COLUMNS, result_rows
from consumer.db.repositories.row_ids import row_id
from consumer.forecasting.types import Variant
from consumer.ports.fenced import ResultRows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from consumer.forecasting.types import ProductForecast, ProductMetric

_DELETE_RESULTS: Final = text(
    "DELETE FROM forecast_resultado WHERE execucao_id = :execucao_id AND produto_id = ANY(:products)"
)
# By id, as forecast_metrica has no other index: a search by execution would read the whole table for every
# chunk.
_DELETE_METRICS: Final = text("DELETE FROM forecast_metrica WHERE id = ANY(:ids)")
_COUNT_RESULTS: Final = text("SELECT count(*) FROM forecast_resultado WHERE execucao_id = :execucao_id")
# Versions and champions of one model type are given out by one transaction at a time.
_LOCK_TYPE: Final = text("SELECT pg_advisory_xact_lock(hashtextextended('forecast_modelo ' || :tipo_modelo, 0))")
_NEXT_VERSION: Final = text("SELECT coalesce(max(versao), 0) + 1 FROM forecast_modelo WHERE tipo_modelo = :tipo_modelo")


class ForecastRepository:
    """Writes and reads ``forecast_resultado``, ``forecast_metrica`` and ``forecast_modelo``."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def replace_results(self, execucao_id: str, horizon: int, forecasts: Sequence[ProductForecast]) -> int:
        """Write forecasts in place of any that the execution wrote for these products before.

        Ids follow from execution, product, target and week, so writing the same forecasts again gives the
        same rows, and a product that is given twice is refused by the primary key.

        Args:
            execucao_id: The execution they belong to.
            horizon: Weeks that each forecast must have, stored as ``horizonte_semanas``.
            forecasts: At most one a product.

        Returns:
            The number of rows written.

        Raises:
            ValueError: A forecast that the table cannot hold; the message names the product. Nothing was
                written.
            asyncpg.PostgresError: PostgreSQL refused the rows (an unknown product, one given twice).
        """
        return await self.replace_written(execucao_id, await write_down(execucao_id, horizon, forecasts))

    async def replace_written(self, execucao_id: str, rows: ResultRows) -> int:
        """The same with rows that ``write_down`` has made."""
        products = list(rows.product_ids)
        await self._session.execute(_DELETE_RESULTS, {"execucao_id": execucao_id, "products": products})
        return await self._copy("forecast_resultado", RESULT_COLUMNS, BytesIO(rows.form), "binary")

    async def replace_metrics(self, execucao_id: str, metrics: Sequence[ProductMetric]) -> MetricsWritten:
        """Write errors in place of any that the execution wrote for these products before, of whatever model.

        What is not finite or does not fit its column becomes NULL and is counted, for the step log to say so.

        Raises:
            asyncpg.PostgresError: PostgreSQL refused the rows (an unknown product, a model given twice).
        """
        rows, nulled = metric_rows(execucao_id, metrics)
        products = dict.fromkeys(metric.product_id for metric in metrics)
        ids = [metric_id(execucao_id, product, variant) for product in products for variant in Variant]
        await self._session.execute(_DELETE_METRICS, {"ids": ids})
        return MetricsWritten(await self._copy("forecast_metrica", METRIC_COLUMNS, rows, "text"), nulled)

    async def results(self, execucao_id: str, product_ids: Sequence[str] | None = None) -> list[ForecastRow]:
        """The forecasts of an execution, by product, target and week; of some products, or of all."""
        quantiles = (getattr(ForecastResultado, name) for name in ("p10", "p25", "p50", "p75", "p90"))
        query = (
            select(
                ForecastResultado.produto_id,
                ForecastResultado.periodo,
                ForecastResultado.target_type,
                ForecastResultado.modelo_usado,
                ForecastResultado.horizonte_semanas,
                *(cast(quantile, Double) for quantile in quantiles),
            )
            .where(ForecastResultado.execucao_id == execucao_id)
            .order_by(ForecastResultado.produto_id, ForecastResultado.target_type, ForecastResultado.periodo)
        )
        if product_ids is not None:
            query = query.where(ForecastResultado.produto_id == any_of(product_ids))
        return [ForecastRow(*row) for row in await self._session.execute(query)]

    async def count_results(self, execucao_id: str) -> int:
        """Rows of ``forecast_resultado`` that an execution has."""
        return int(await self._session.scalar(_COUNT_RESULTS, {"execucao_id": execucao_id}) or 0)

    async def lock_type(self, tipo_modelo: str) -> None:
        """Wait until no other transaction gives out versions or champions of this type; held to the end of ours."""
        await self._session.execute(_LOCK_TYPE, {"tipo_modelo": tipo_modelo})

    async def add_model(self, model: NewModel) -> ModelRecord:
        """Store a trained model with the next version of its type; it is no champion yet.

        Of transactions that add models of one type at the same time, the later ones wait for the first to
        end.
        """
        await self.lock_type(model.tipo_modelo)
        version = int(await self._session.scalar(_NEXT_VERSION, {"tipo_modelo": model.tipo_modelo}) or 1)
        row = ForecastModelo(
            id=row_id(model.execucao_id, "model", model.tipo_modelo, str(version)),
            execucao_id=model.execucao_id,
            tipo_modelo=model.tipo_modelo,
            versao=version,
            parametros=None if model.parametros is None else dict(model.parametros),
            metricas_treino=None if model.metricas_treino is None else dict(model.metricas_treino),
            arquivo_path=model.arquivo_path,
            is_champion=False,
            treinado_em=model.treinado_em,
        )
        self._session.add(row)
        await self._session.flush()
        return _model_record(row)

    async def promote(self, model_id: str) -> str | None:
        """Make a model the one champion of its type.

        Returns:
            The id of the champion that it replaces, None if there was no other.

        Raises:
            LookupError: There is no such model.
        """
        model = await self._session.get(ForecastModelo, model_id)
        if model is None:
            raise LookupError(f"model {model_id} does not exist; `models list` shows those that do")
        await self.lock_type(model.tipo_modelo)
        former = await self.champion(model.tipo_modelo)
        of_type = ForecastModelo.tipo_modelo == model.tipo_modelo
        champions = update(ForecastModelo).where(of_type, ForecastModelo.is_champion | (ForecastModelo.id == model_id))
        await self._session.execute(champions.values(is_champion=ForecastModelo.id == model_id))
        return None if former is None or former.id == model_id else former.id

    async def champion(self, tipo_modelo: str) -> ModelRecord | None:
        """The champion of a type; should the table have several, the newest."""
        champions = await self.list_models(tipo_modelo=tipo_modelo, champions_only=True, limit=1)
        return champions[0] if champions else None

    async def list_models(
        self,
        *,
        tipo_modelo: str | None = None,
        execucao_id: str | None = None,
        champions_only: bool = False,
        limit: int = 100,
    ) -> list[ModelRecord]:
        """Trained models by type, the newest version first."""
        query: Select[ForecastModelo] = (
            select(ForecastModelo).order_by(ForecastModelo.tipo_modelo, ForecastModelo.versao.desc()).limit(limit)
        )
        if tipo_modelo is not None:
            query = query.where(ForecastModelo.tipo_modelo == tipo_modelo)
        if execucao_id is not None:
            query = query.where(ForecastModelo.execucao_id == execucao_id)
        if champions_only:
            query = query.where(ForecastModelo.is_champion)
        return [_model_record(row) for row in await self._session.scalars(query)]

    async def _copy(self, table: str, columns: Sequence[str], rows: BytesIO, form: Literal["text", "binary"]) -> int:
        """Append rows in a format of COPY; after the statement before it, so inside the transaction."""
        connection = await driver_connection(self._session)
        status = await connection.copy_to_table(table, columns=columns, source=rows, format=form)
        return int(status.rpartition(" ")[2])


async def write_down(execucao_id: str, horizon: int, forecasts: Sequence[ProductForecast]) -> ResultRows:
    """Rows of ``forecast_resultado`` as COPY takes them; no transaction need wait for it.

    In a thread: those of a chunk take tens of milliseconds, and the event loop must not wait either.

    Raises:
        ValueError: A forecast that the table cannot hold; the message names the product.
    """
    products = tuple(forecast.product_id for forecast in forecasts)
    return ResultRows(products, await asyncio.to_thread(result_rows, execucao_id, horizon, forecasts))


def _model_record(row: ForecastModelo) -> ModelRecord:
    return ModelRecord(
        id=row.id,
        execucao_id=row.execucao_id,
        tipo_modelo=row.tipo_modelo,
        versao=row.versao,
        parametros=row.parametros,
        metricas_treino=row.metricas_treino,
        arquivo_path=row.arquivo_path,
        is_champion=row.is_champion,
        treinado_em=row.treinado_em,
        created_at=row.created_at,
    )
