"""What the worker is made of, and pruning, which it does beside: apart, as the domain and numpy come along."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from consumer.artefacts.pruning import ArtefactArchive
from consumer.artefacts.store import FileArtefacts
from consumer.db.archive import SqlArchive
from consumer.db.model_files import SqlModelFiles
from consumer.db.queue import SqlCommandQueue
from consumer.db.sales import SqlSalesReader
from consumer.errors import TransientError
from consumer.execution.job import ForecastJob
from consumer.execution.run import JobOptions
from consumer.execution.runner import RetryPolicy, Runner
from consumer.execution.worker import Worker, WorkerOptions
from consumer.maintenance import Maintenance
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


async def build_worker(
    parts: Parts, database: Database, composer: Composer, roles: Roles, stack: AsyncExitStack
) -> Worker:
    """The worker, a heartbeat connection of its own, and model processes that warm up as soon as all else works."""
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
        heartbeat=await open_database(parts, "heartbeat", stack, pool_size=1, max_overflow=0),
    )
    compute = await stack.enter_async_context(
        ProcessCompute(settings.compute_processes, settings.chunk_timeout_seconds, settings.compute_memory_megabytes)
    )
    warming = asyncio.create_task(_warm_up(compute, parts.at_work), name="warm up")
    stack.callback(warming.cancel)
    job_options = JobOptions(
        chunk_products=settings.chunk_products,
        parallel_chunks=settings.compute_processes,
        seed=settings.seed,
        champion_margin=settings.champion_margin,
        automatic_choice=settings.automatic_choice,
        global_products=settings.global_products,
        fit_seconds=settings.fit_timeout_seconds,
    )
    artefacts = FileArtefacts(settings.artefact_dir, clock)
    job = ForecastJob(queue, SqlSalesReader(database), compute, artefacts, clock, job_options)
    retry = RetryPolicy(settings.max_attempts, settings.backoff_seconds, settings.backoff_max_seconds)
    # Jitter only spreads retries in time; no number of a forecast depends on it.
    runner = Runner(queue, job, retry, clock, random.Random(), get_logger("execution"))  # noqa: S311
    options = WorkerOptions(settings.worker_executions, settings.poll_seconds, settings.lease_seconds)
    worker = Worker(queue, runner, options, get_logger("worker"))
    metrics.executions_running.set_function(lambda: worker.running)
    return worker


def build_maintenance(parts: Parts, database: Database) -> Maintenance:
    """Pruning of old rows, and of files that no row refers to."""
    settings = parts.settings
    files = FileArtefacts(settings.artefact_dir, parts.clock)
    archive = ArtefactArchive(
        SqlArchive(database), files, SqlModelFiles(database), keep_versions=settings.keep_model_versions
    )
    return Maintenance(archive, settings.keep_days, settings.maintenance_seconds, get_logger("maintenance"))


async def _warm_up(compute: ProcessCompute, at_work: asyncio.Event) -> None:
    await at_work.wait()
    try:
        await compute.warm_up()
    except TransientError as error:
        get_logger("processes").warning("warm_up_failed", error=str(error))
    else:
        get_logger("processes").info("model_processes_ready")
