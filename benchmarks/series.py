"""``series``: weekly sales of many products as arrays, beside a bare fetch and one pass of numpy."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final

import asyncpg
import numpy as np

from benchmarks.measure import Result, compare
from consumer.db.database import Database
from consumer.db.repositories.time_series_repo import TimeSeriesRepository
from tests.e2e.sales import seed_sales

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.stage import Stage

WEEKS: Final = 104
_FETCH: Final = """
    SELECT produto_id, data_referencia, volume::float8, receita::float8 FROM serie_temporal
     WHERE produto_id = ANY($1) AND granularidade = 'semanal' ORDER BY produto_id, data_referencia"""


async def measure(stage: Stage) -> list[Result]:
    """Ours against the fetch, rows/s."""
    async with stage.place() as place:
        catalogue = await seed_sales(place.url, stage.size(5_000, 400), WEEKS, seed=1)
        sides = {"ours": _ours, "fetch": _fetch}
        rounds = {name: partial(side, place.url, catalogue.ids()) for name, side in sides.items()}
        for contestant in rounds.values():
            await contestant()  # PostgreSQL's cache is warm for both
        measured = await stage.in_turns(rounds)
    return [compare("series", "fetch", "rows/s", measured["ours"]["rate"], measured["fetch"]["rate"])]


async def _ours(url: str, product_ids: Sequence[str]) -> Mapping[str, float]:
    async with Database.open(url) as database, database.session() as session:
        repository = TimeSeriesRepository(session)
        await repository.weekly_sales(product_ids[:1])  # connecting is not what is measured
        started = time.perf_counter()
        sales = await repository.weekly_sales(product_ids)
        seconds = time.perf_counter() - started
    return {"rate": _checked(sales.volume.size, product_ids) / seconds}


async def _fetch(url: str, product_ids: Sequence[str]) -> Mapping[str, float]:
    connection = await asyncpg.connect(url)
    await connection.fetch(_FETCH, product_ids[:1])
    started = time.perf_counter()
    rows = await connection.fetch(_FETCH, product_ids)
    names, weeks, volumes, revenues = zip(*rows, strict=True)
    product = np.unique(np.asarray(names), return_inverse=True)[1]
    arrays = (product, np.asarray(weeks, "datetime64[D]"), np.asarray(volumes), np.asarray(revenues))
    seconds = time.perf_counter() - started
    await connection.close()
    return {"rate": _checked(arrays[2].size, product_ids) / seconds}


def _checked(rows: int, product_ids: Sequence[str]) -> int:
    if rows != len(product_ids) * WEEKS:
        raise RuntimeError(f"{rows} rows instead of {len(product_ids) * WEEKS}")
    return rows
