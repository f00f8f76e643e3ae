"""``predict``: from the command to CONCLUIDO, beside the bare library calls of the same models in as many processes.

The library gets its arrays ready-made and gives its numbers to nobody; both sides have warm processes.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import time
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import asyncpg
import lightgbm

from benchmarks.commands import blast, predict
from benchmarks.measure import Result, compare
from benchmarks.observer import observe, until
from consumer.db.database import Database
from consumer.db.repositories.time_series_repo import TimeSeriesRepository
from consumer.forecasting.compute import warm_up
from consumer.forecasting.gapless import histories
from consumer.forecasting.history import for_fitting
from consumer.forecasting.models import LOCAL_MODELS
from consumer.forecasting.models.base import library
from consumer.forecasting.models.ets import TREND_WEEKS, YEAR, years_resemble_each_other
from consumer.forecasting.models.intermittent import Intermittent
from consumer.forecasting.planning import products_from_json
from consumer.forecasting.types import Variant
from schemas.enums import TargetType
from tests.e2e.sales import seed_sales
from tests.support.databases import temporary_database

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from benchmarks.commands import Message
    from benchmarks.stage import Stage
    from consumer.forecasting.types import FloatArray


# A model of one product and its history, or a target and the rows of some products for the boosters of that target.
Task: TypeAlias = "tuple[Variant | TargetType, np.ndarray]"

WEEKS: Final = 104
HORIZON: Final = 13
PARTS: Final = 16  # of the work of one process: few enough to cost nothing, enough to end together
WARM_PRODUCTS: Final = 4
CORES: Final = os.cpu_count() or 1  # as many model processes as the service has by itself
WITHIN: Final = 900.0
LOOK_EVERY: Final = 0.1
_trained: dict[TargetType, tuple[Any, ...]] = {}  # of this process
_ENDED: Final = "SELECT status::text FROM execucao_planejamento WHERE status IN ('CONCLUIDO', 'PARCIAL', 'ERRO')"


async def measure(stage: Stage) -> list[Result]:
    """Ours against the library, seconds; less is better.

    With a model process a core, where whatever the database does is taken from the models, and with one.
    """
    results: list[Result] = []
    async with temporary_database(stage.server_url, stage.template) as url:
        catalogue = await seed_sales(url, stage.size(5_000, 200), WEEKS, seed=1)
        template = url.rsplit("/", 1)[1]
        tasks: list[Task] = []
        for processes in sorted({CORES, 1}, reverse=True):
            ours = partial(_ours, stage, template, catalogue.products, tasks, processes)
            if not tasks:
                await ours()  # which model each product gets
            measured = await stage.in_turns({"ours": ours, "library": partial(_library, tasks, processes)})
            seconds = {name: numbers["seconds"] for name, numbers in measured.items()}
            unit = f"s, synthetic, {named(processes)}"
            results.append(compare("predict", "library", unit, seconds["ours"], seconds["library"]))
    return results


def named(processes: int) -> str:
    """For the unit of a line."""
    return f"{processes} model process{'es' if processes > 1 else ''}"


async def _ours(stage: Stage, template: str, products: int, tasks: list[Task], processes: int) -> Mapping[str, float]:
    settings = {"FORECAST_COMPUTE_PROCESSES": str(processes)}
    async with (
        stage.place(template=template) as place,
        observe(place) as observer,
        stage.process(place, settings=settings) as process,
    ):
        await process.meanwhile(observer.assigned())
        seconds = 0.0
        for number, wanted in enumerate((_some(WARM_PRODUCTS), _everything), start=1):
            started = time.perf_counter()
            await blast(stage.bootstrap_servers, place.topics.predict, 1, wanted)

            async def ended(count: int = number) -> bool:
                return len(await observer.database.fetch(_ENDED)) == count

            await process.meanwhile(until(ended, "end of the execution", WITHIN, LOOK_EVERY))
            seconds = time.perf_counter() - started
        await observer.concluded(2)
        if not tasks:
            tasks += await _tasks(place.url, products)
    return {"seconds": seconds}


def _some(count: int) -> Any:
    names = ",".join(f'"P{number:05d}"' for number in range(count))
    return lambda number: _with_body(number, f'{{"produto_ids":[{names}],"horizonte_semanas":{HORIZON}}}')


def _everything(number: int) -> Message:
    return _with_body(number, f'{{"horizonte_semanas":{HORIZON}}}')


def _with_body(number: int, body: str) -> Message:
    key, _, headers = predict(number)
    return key, body.encode(), headers


async def _tasks(url: str, products: int) -> list[Task]:
    """The model that each product's forecast was made with, and the history that the model saw."""
    connection = await asyncpg.connect(url)
    rows = await connection.fetch("SELECT products FROM forecast_consumer.chunk")
    await connection.close()
    planned = [product for row in rows for product in products_from_json(json.loads(row["products"]))]
    models = {product.product_id: product.models[0] for product in planned}
    async with Database.open(url) as database, database.session() as session:
        repository = TimeSeriesRepository(session)
        newest = await repository.newest_week()
        sales = await repository.weekly_sales(list(models))
    if newest is None or len(models) != products:
        raise RuntimeError(f"the plan names {len(models)} products instead of {products}")
    return [(models[name], for_fitting(known).volume) for name, known in histories(sales, newest).usable.items()]


async def _library(tasks: list[Task], processes: int) -> Mapping[str, float]:
    return {"seconds": await asyncio.to_thread(in_processes, tasks, processes)}


def in_processes(tasks: list[Task], processes: int, models: Mapping[TargetType, str] | None = None) -> float:
    """Seconds that the tasks take in so many processes, warm and with ``models`` (paths)."""
    with multiprocessing.get_context("spawn").Pool(processes, _ready, (models or {},)) as pool:
        pool.map(_forecast, tasks[: processes * 2], chunksize=1)  # every process is up, and its models are loaded
        started = time.perf_counter()
        pool.map(_forecast, tasks, chunksize=max(1, len(tasks) // (processes * PARTS)))
        return time.perf_counter() - started


def _ready(models: Mapping[TargetType, str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started us, who ends us
    warm_up()
    for target, path in models.items():
        texts = json.loads(Path(path).read_bytes())["boosters"]
        _trained[target] = tuple(lightgbm.Booster(model_str=text) for text in texts)


def _forecast(task: Task) -> float:
    """The library's own call, with the arguments of the service's model; a number, so that nothing is spared."""
    model, values = task
    if isinstance(model, TargetType):
        return float(sum(booster.predict(values, num_threads=1).sum() for booster in _trained[model]))
    local = LOCAL_MODELS[model]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        if model is Variant.AUTO_ETS:
            fit = _auto_ets(values)
        elif model is Variant.SIMPLE_ETS:
            fit = library().SimpleExponentialSmoothingOptimized().forecast(values, HORIZON)
        elif isinstance(local, Intermittent):
            fit = getattr(library(), local.model)(**local.arguments).forecast(values, HORIZON)
        else:
            return float(local.fit_predict(values, HORIZON, 0).sum())
    return float(fit["mean"].sum())


def _auto_ets(history: FloatArray) -> Mapping[str, FloatArray]:
    """With intervals, which whoever wants five quantiles asks for; a season where the service sees one."""
    if history.size < TREND_WEEKS:
        return library().AutoETS(season_length=1, model="ZNN").forecast(history, HORIZON, level=[50, 80])
    model = library().AutoETS(season_length=1, model="ZZN")
    if years_resemble_each_other(history):
        model = library().MSTL(season_length=YEAR, trend_forecaster=model)
    return model.forecast(history, HORIZON, level=[50, 80])
