"""``predict`` with trained models on real sales: all products of ``make accuracy``, after a train by the service.

The library gets its arrays ready-made, also the features of LightGBM's rows, and gives its numbers to nobody. A line of
its own shows what a bare COPY of the rows that a predict writes takes, as the library writes none.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import numpy as np

from accuracy.sales import split
from benchmarks.commands import blast, everything
from benchmarks.measure import Result, compare
from benchmarks.observer import observe, until
from benchmarks.predict import CORES, HORIZON, LOOK_EVERY, WITHIN, Task, in_processes, named
from consumer.db.repositories.result_rows import RESULT_COLUMNS
from consumer.forecasting.evidence import partner
from consumer.forecasting.gapless import histories
from consumer.forecasting.global_model.base import panel
from consumer.forecasting.global_model.feature_rows import feature_rows
from consumer.forecasting.global_model.features import latest_origins
from consumer.forecasting.history import for_fitting
from consumer.forecasting.planning import products_from_json
from consumer.forecasting.types import Variant
from schemas.enums import TargetType
from tests.support.databases import temporary_database

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from accuracy.sales import Split
    from benchmarks.observer import Observer
    from benchmarks.stage import Place, Stage
    from consumer.forecasting.history import History
    from consumer.forecasting.types import PlannedProduct
    from tests.e2e.service_process import ServiceProcess

BLOCK: Final = 200  # products whose rows LightGBM gets in one call
GLOBAL: Final = (Variant.LGBM, Variant.ENSEMBLE)
_ENDED: Final = "SELECT count(*) FROM execucao_planejamento WHERE status IN ('CONCLUIDO', 'PARCIAL', 'ERRO')"
_PREDICTED: Final = "SELECT min(execucao_id) FROM forecast_resultado"
_PLANNED: Final = "SELECT products FROM forecast_consumer.chunk WHERE execucao_id = $1"
_WRITTEN: Final = f"""
    SELECT {", ".join(RESULT_COLUMNS)} FROM forecast_resultado WHERE execucao_id = $1
     ORDER BY produto_id, target_type, periodo"""  # noqa: S608 - constants only


async def measure(stage: Stage) -> list[Result]:
    """Ours against the library, and against a bare COPY of the rows; seconds, less is better.

    With a model process a core, where whatever the database does is taken from the models, and with one.
    """
    sales = await asyncio.to_thread(split, stage.size(0, 1_000) or None)
    artefacts = stage.directory / "trained"
    results: list[Result] = []
    async with temporary_database(stage.server_url, stage.template) as url:
        await load(url, sales)
        async with stage.place(template=url.rsplit("/", 1)[1]) as place, observe(place) as observer:
            tasks: list[Task] = []
            for processes in sorted({CORES, 1}, reverse=True):
                settings = {"FORECAST_ARTEFACT_DIR": str(artefacts), "FORECAST_COMPUTE_PROCESSES": str(processes)}
                async with stage.process(place, settings=settings) as process:
                    ours = partial(_ours, stage, place, observer, process)
                    await process.meanwhile(observer.assigned())
                    if not tasks:
                        stage.progress.say(f"  train: {(await ours('train'))['seconds']:.0f} s")
                    await ours("predict")  # which model each product gets, and warm processes
                    predicted = await observer.database.fetchval(_PREDICTED)
                    models = await asyncio.to_thread(_models, artefacts)
                    tasks = tasks or _tasks(await observer.database.fetch(_PLANNED, predicted), sales, models)
                    rounds = {
                        "ours": partial(ours, "predict"),
                        "library": partial(_library, tasks, models, processes),
                    }
                    if not results:
                        rows = [tuple(row) for row in await observer.database.fetch(_WRITTEN, predicted)]
                        rounds["copy"] = partial(_copy, place.url, rows)
                    measured = await stage.in_turns(rounds)
                unit = f"s, trained, {len(sales.product_ids):,} real products, {named(processes)}"
                seconds = {name: numbers["seconds"] for name, numbers in measured.items()}
                results += [compare("predict", peer, unit, seconds["ours"], seconds[peer]) for peer in list(rounds)[1:]]
    return results


async def load(url: str, sales: Split) -> None:
    """Products without price and class, and their known weeks."""
    known = sales.known
    connection = await asyncpg.connect(url, timeout=15)
    try:
        statement = """INSERT INTO produto (id, codigo, descricao, tipo_produto, updated_at)
                       SELECT id, id, 'product', 'REVENDA', now() FROM unnest($1::text[]) AS id"""
        await connection.execute(statement, list(known.product_ids))
        statement = """INSERT INTO serie_temporal (id, produto_id, data_referencia, granularidade, volume, receita)
                       SELECT 's' || n, id, day, 'semanal', volume::numeric(14, 4), revenue::numeric(14, 4)
                         FROM unnest($1::text[], $2::date[], $3::float8[], $4::float8[])
                         WITH ORDINALITY AS sold (id, day, volume, revenue, n)"""
        names = [known.product_ids[at] for at in known.product.tolist()]
        columns = names, known.week.tolist(), known.volume.tolist(), known.revenue.tolist()
        await connection.execute(statement, *columns, timeout=300)
        await connection.execute("ANALYZE")
    finally:
        await connection.close(timeout=5)


async def _ours(
    stage: Stage, place: Place, observer: Observer, process: ServiceProcess, kind: str
) -> Mapping[str, float]:
    before = await observer.database.fetchval(_ENDED)
    started = time.perf_counter()
    topic = place.topics.train if kind == "train" else place.topics.predict
    await blast(stage.bootstrap_servers, topic, 1, partial(everything, kind))

    async def ended() -> bool:
        return bool(await observer.database.fetchval(_ENDED) > before)

    await process.meanwhile(until(ended, f"end of the {kind}", WITHIN, LOOK_EVERY))
    return {"seconds": time.perf_counter() - started}


def _models(artefacts: Path) -> dict[TargetType, str]:
    """Where the train has put the model of each target."""
    files = {TargetType.VOLUME: "volume.json", TargetType.FATURAMENTO: "revenue.json"}
    return {target: str(path) for target, name in files.items() for path in artefacts.rglob(name)}


def _tasks(stored: list[asyncpg.Record], sales: Split, models: Mapping[TargetType, str]) -> list[Task]:
    """Calls of the models that the service's forecasts were made with, and the histories that these saw."""
    planned = [product for row in stored for product in products_from_json(json.loads(row["products"]))]
    known = {name: for_fitting(one) for name, one in histories(sales.known, sales.as_of).usable.items()}
    tasks: list[Task] = []
    for product in planned:
        variant = product.models[0]
        if variant is not Variant.LGBM:
            local = partner(product.padrao_demanda) if variant is Variant.ENSEMBLE else variant
            tasks.append((local, known[product.product_id].volume))
    by_model = [product for product in planned if product.models[0] in GLOBAL]
    tasks += _blocks(by_model, known, sales, TargetType.VOLUME)
    if TargetType.FATURAMENTO in models:
        tasks += _blocks(planned, known, sales, TargetType.FATURAMENTO)
    print(f"  {len(planned)} products, {len(by_model)} of them by LightGBM alone or in an ensemble")
    random.Random(0).shuffle(tasks)  # noqa: S311 - so that every process gets some of each kind
    return tasks


def _blocks(
    planned: Sequence[PlannedProduct], known: Mapping[str, History], sales: Split, target: TargetType
) -> list[Task]:
    tasks: list[Task] = []
    for first in range(0, len(planned), BLOCK):
        part = planned[first : first + BLOCK]
        names = [product.product_id for product in part]
        own = panel(names, [known[name] for name in names], [one.classe_abc for one in part], sales.as_of)
        index, ahead = np.repeat(np.arange(len(part)), HORIZON), np.tile(np.arange(1, HORIZON + 1), len(part))
        tasks.append((target, feature_rows(own, target, latest_origins(own, target), index, ahead)))
    return tasks


async def _library(tasks: list[Task], models: Mapping[TargetType, str], processes: int) -> Mapping[str, float]:
    return {"seconds": await asyncio.to_thread(in_processes, tasks, processes, models)}


async def _copy(url: str, rows: list[tuple[Any, ...]]) -> Mapping[str, float]:
    """Into a table that has its indexes and references, in a transaction that is rolled back after its last row."""
    connection = await asyncpg.connect(url)
    try:
        execution = rows[0][1]
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("DELETE FROM forecast_resultado WHERE execucao_id = $1", execution, timeout=300)
        started = time.perf_counter()
        await connection.copy_records_to_table("forecast_resultado", records=rows, columns=RESULT_COLUMNS)
        seconds = time.perf_counter() - started
        await transaction.rollback()
        # Or it is left to autovacuum, whose work whoever comes next would pay for.
        await connection.execute("VACUUM forecast_resultado", timeout=300)
    finally:
        await connection.close(timeout=5)
    return {"seconds": seconds}
