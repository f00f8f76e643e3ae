"""What the worker is made of; a module of its own, because numpy and the domain come along with it."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from consumer.artefacts.store import FileArtefacts
from consumer.db.queue import SqlCommandQueue
from consumer.db.sales import SqlSalesReader
from consumer.errors import TransientError
from consumer.execution.job import ForecastJob
from consumer.execution.run import NO_EXTRA, JobOptions
from consumer.execution.runner import RetryPolicy, Runner
from consumer.execution.worker import Worker, WorkerOptions
from consumer.forecasting.global_model.tft import installed
from consumer.processes import ProcessCompute
from consumer.roles import open_database
from consumer.telemetry.logs import get_logger

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from consumer.db.database import Database
    from consumer.model import Execution
    from consumer.outbound import Composer
    from consumer.roles import Parts
    from consumer.service import Roles
    from consumer.settings import Settings


async def build_worker(
    parts: Parts, database: Database, composer: Composer, roles: Roles, stack: AsyncExitStack
) -> Worker:
    """The worker, a heartbeat connection of its own, and model processes that warm up meanwhile."""
    settings, clock, metrics = parts.settings, parts.clock, parts.metrics

    def committed(execution: Execution) -> None:
        if roles.relay is not None:
            roles.relay.wake()
        if execution.terminal:
            metrics.executions.labels(execution.comando, execution.status).inc()

    queue = SqlCommandQueue(
        database,
        composer,
        clock,
        committed,
        owner=settings.instance,
        lease_seconds=settings.lease_seconds,
        max_attempts=settings.max_attempts,
        heartbeat=await open_database(parts, "heartbeat", stack, pool_size=1, max_overflow=0),
    )
    compute = await stack.enter_async_context(
        ProcessCompute(settings.compute_processes, settings.chunk_timeout_seconds, settings.compute_memory_megabytes)
    )
    warming = asyncio.create_task(_warm_up(compute), name="warm up")
    stack.callback(warming.cancel)
    job_options = JobOptions(
        chunk_products=settings.chunk_products,
        parallel_chunks=settings.compute_processes + 2,
        processes=settings.compute_processes,
        seed=settings.seed,
        champion_margin=settings.champion_margin,
        automatic_choice=settings.automatic_choice,
        global_products=settings.global_products,
        fit_seconds=settings.fit_timeout_seconds,
        no_tft=why_no_tft(settings),
    )
    artefacts = FileArtefacts(settings.artefact_dir, clock)
    # Beside the rest: a network drive that hangs must not hold up the worker.
    stack.callback(asyncio.create_task(_try_out(artefacts), name="try out artefacts").cancel)
    job = ForecastJob(queue, SqlSalesReader(database), compute, artefacts, clock, job_options)
    retry = RetryPolicy(settings.max_attempts, settings.backoff_seconds, settings.backoff_max_seconds)
    # Jitter only spreads retries in time; no number of a forecast depends on it.
    runner = Runner(queue, job, retry, clock, random.Random(), get_logger("execution"))  # noqa: S311
    options = WorkerOptions(settings.worker_executions, settings.poll_seconds, settings.lease_seconds)
    worker = Worker(queue, runner, options, get_logger("worker"))
    metrics.executions_running.set_function(lambda: worker.running)
    return worker


def why_no_tft(settings: Settings) -> str | None:
    """Why this process neither trains nor uses a TFT, None if it does; nothing of the extra is loaded by asking."""
    if not settings.tft:
        return "TFT is switched off here"
    return None if installed() else NO_EXTRA


async def _try_out(artefacts: FileArtefacts) -> None:
    """A full disk is told at once, and keeps neither intake nor predicts from going on."""
    try:
        await artefacts.try_out()
    except TransientError as error:
        hint = "what learns a model fails until FORECAST_ARTEFACT_DIR can be written to; a predict does not need that"
        get_logger("worker").error("artefacts_not_writable", error=str(error), hint=hint)


async def _warm_up(compute: ProcessCompute) -> None:
    try:
        await compute.warm_up()
    except TransientError as error:
        get_logger("processes").warning("warm_up_failed", error=str(error))
    else:
        get_logger("processes").info("model_processes_ready")
