"""``results``: rows of ``forecast_resultado`` through the repository, beside a bare COPY of the same rows."""

from __future__ import annotations

import time
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import numpy as np

from benchmarks.measure import Result, compare
from consumer.db.database import Database
from consumer.db.repositories.forecast_repo import ForecastRepository
from consumer.db.repositories.result_rows import RESULT_COLUMNS
from consumer.forecasting.types import ProductForecast, Variant
from tests.e2e.sales import seed_sales

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.stage import Stage

HORIZON: Final = 13
CHUNK: Final = 200  # products of one transaction, as the service's default
FIRST_WEEK: Final = date(2026, 11, 23)
_EXECUTION: Final = (
    "INSERT INTO execucao_planejamento (id, tipo, status, gatilho) "
    "VALUES ($1, 'FORECAST', 'EXECUTANDO', 'AGENDADO') ON CONFLICT DO NOTHING"
)


async def measure(stage: Stage) -> list[Result]:
    """Ours against COPY, rows/s."""
    async with stage.place() as place:
        catalogue = await seed_sales(place.url, stage.size(5_000, 600), weeks=1, seed=1)
        forecasts = _forecasts(catalogue.ids())
        rows: list[list[Any]] = []
        rounds = {"ours": partial(_ours, place.url, forecasts, rows), "copy": partial(_copy, place.url, rows)}
        await rounds["ours"]()  # the rows that COPY is to write, and a connection pool that is warm
        measured = await stage.in_turns(rounds)
    return [compare("results", "copy", "rows/s", measured["ours"]["rate"], measured["copy"]["rate"])]


def _forecasts(product_ids: Sequence[str]) -> list[ProductForecast]:
    randomness = np.random.default_rng(7)
    levels = np.sort(randomness.gamma(2.0, 30.0, (len(product_ids), HORIZON, 5)), axis=2).round(4)
    return [
        ProductForecast(name, Variant.AUTO_ETS, FIRST_WEEK, level, (level * 7.5).round(4))
        for name, level in zip(product_ids, levels, strict=True)
    ]


async def _ours(url: str, forecasts: Sequence[ProductForecast], rows: list[list[Any]]) -> Mapping[str, float]:
    connection = await asyncpg.connect(url)
    await connection.execute(_EXECUTION, "measured")
    written, seconds = 0, 0.0
    async with Database.open(url) as database:
        async with database.session() as session:  # connecting is not what is measured
            await ForecastRepository(session).count_results("measured")
        started = time.perf_counter()
        for first in range(0, len(forecasts), CHUNK):
            async with database.transaction() as session:
                chunk = forecasts[first : first + CHUNK]
                written += await ForecastRepository(session).replace_results("measured", HORIZON, chunk)
        seconds = time.perf_counter() - started
    if not rows:
        query = f"SELECT {', '.join(RESULT_COLUMNS)} FROM forecast_resultado ORDER BY produto_id, target_type, periodo"  # noqa: S608
        every = [tuple(row) for row in await connection.fetch(query)]
        per_chunk = CHUNK * len(every) // len(forecasts)
        rows += [every[first : first + per_chunk] for first in range(0, len(every), per_chunk)]
    await _empty(connection)
    return {"rate": written / seconds}


async def _copy(url: str, rows: list[list[Any]]) -> Mapping[str, float]:
    connection = await asyncpg.connect(url)
    await connection.execute(_EXECUTION, "measured")
    started = time.perf_counter()
    for chunk in rows:
        await connection.copy_records_to_table("forecast_resultado", records=chunk, columns=RESULT_COLUMNS)
    seconds = time.perf_counter() - started
    await _empty(connection)
    return {"rate": sum(len(chunk) for chunk in rows) / seconds}


async def _empty(connection: asyncpg.Connection) -> None:
    await connection.execute("TRUNCATE forecast_resultado")
    await connection.close()
