"""What each role is made of: its adapters, the options it reads from the settings, and what it wakes."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from consumer.artefacts.pruning import ArtefactArchive
from consumer.artefacts.store import FileArtefacts
from consumer.backpressure import Backpressure
from consumer.db.archive import SqlArchive
from consumer.db.database import Database
from consumer.db.inbox import SqlInbox
from consumer.db.model_files import SqlModelFiles
from consumer.db.outbox import SqlOutbox
from consumer.db.queue import SqlCommandQueue
from consumer.db.sales import SqlSalesReader
from consumer.errors import TransientError
from consumer.execution.job import ForecastJob
from consumer.execution.run import NO_EXTRA, JobOptions
from consumer.execution.runner import RetryPolicy, Runner
from consumer.execution.worker import Worker, WorkerOptions
from consumer.forecasting.global_model.tft import installed
from consumer.intake import Intake, IntakeReport
from consumer.intake_loop import IntakeLoop
from consumer.kafka.publisher import KafkaPublisher
from consumer.kafka.reader import KafkaReader
from consumer.maintenance import Maintenance
from consumer.outbox import Relay, RelayOptions
from consumer.processes import ProcessCompute
from consumer.telemetry.logs import get_logger
from consumer.wiring import kinds_of, new_execution_id, topics_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AsyncExitStack

    from consumer.clock import Clock
    from consumer.model import Execution
    from consumer.outbound import Composer, Topics
    from consumer.received import Received
    from consumer.service import Roles
    from consumer.settings import Settings
    from consumer.telemetry.metrics import Metrics

LET_GO_SECONDS = 1.0  # for giving up the relay's lease at the very end


@dataclass(frozen=True, slots=True)
class Parts:
    """What every adapter may need."""

    settings: Settings
    clock: Clock
    metrics: Metrics
    stopping: asyncio.Event


async def open_database(
    parts: Parts, purpose: str, stack: AsyncExitStack, pool_size: int = 10, max_overflow: int = 20
) -> Database:
    """A pool whose sessions say in ``pg_stat_activity`` what they are for; the stack closes it."""
    url = parts.settings.database_url.get_secret_value()
    name = f"forecast-consumer {purpose} {parts.settings.instance}"
    pool = Database.open(url, application_name=name, pool_size=pool_size, max_overflow=max_overflow)
    return await stack.enter_async_context(pool)


async def build_relay(parts: Parts, database: Database, stack: AsyncExitStack) -> Relay:
    """The relay and its producer; the stack gives up the lease and closes the producer."""
    settings = parts.settings
    outbox = SqlOutbox(database, owner=settings.instance)
    stack.push_async_callback(_let_go, outbox)
    publisher = await stack.enter_async_context(KafkaPublisher(settings, get_logger("publisher")))
    options = RelayOptions(
        batch=settings.relay_batch,
        lease_seconds=settings.relay_lease_seconds,
        poll_seconds=settings.relay_poll_seconds,
    )
    relay = Relay(outbox, publisher, options, parts.metrics.published.inc, parts.clock, get_logger("relay"))
    parts.metrics.seconds_since_relay.set_function(lambda: parts.clock.monotonic() - relay.last_round)
    return relay


async def _let_go(outbox: SqlOutbox) -> None:
    """With the database away, the lease simply runs out."""
    with suppress(TransientError, TimeoutError):
        async with asyncio.timeout(LET_GO_SECONDS):
            await outbox.let_go()


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
        parallel_chunks=settings.compute_processes + 1,
        processes=settings.compute_processes,
        seed=settings.seed,
        champion_margin=settings.champion_margin,
        automatic_choice=settings.automatic_choice,
        global_products=settings.global_products,
        fit_seconds=settings.fit_timeout_seconds,
        no_tft=why_no_tft(settings),
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


def why_no_tft(settings: Settings) -> str | None:
    """Why this process neither trains nor uses a TFT, None if it does; nothing of the extra is loaded by asking."""
    if not settings.tft:
        return "TFT is switched off here"
    return None if installed() else NO_EXTRA


def build_maintenance(parts: Parts, database: Database) -> Maintenance:
    """Pruning of old rows, and of files that no row refers to."""
    settings = parts.settings
    files = FileArtefacts(settings.artefact_dir, parts.clock)
    archive = ArtefactArchive(
        SqlArchive(database), files, SqlModelFiles(database), keep_versions=settings.keep_model_versions
    )
    return Maintenance(archive, settings.keep_days, settings.maintenance_seconds, get_logger("maintenance"))


async def _warm_up(compute: ProcessCompute) -> None:
    try:
        await compute.warm_up()
    except TransientError as error:
        get_logger("processes").warning("warm_up_failed", error=str(error))


async def build_intake(
    parts: Parts, database: Database, composer: Composer, roles: Roles, stack: AsyncExitStack
) -> IntakeLoop:
    """Intake and its backpressure, both set in ``roles``; what it persists wakes the roles that are there."""
    metrics, settings = parts.metrics, parts.settings

    def persisted(report: IntakeReport, seconds: float) -> None:
        metrics.intake_batch_seconds.observe(seconds)
        for result, count in report.counts().items():
            metrics.intake_records.labels(result).inc(count)
        for role in (roles.relay, roles.worker):
            if role is not None:
                role.wake()

    inbox, warn = SqlInbox(database, composer, parts.clock), _warn_of(topics_of(settings))
    intake = Intake(inbox, kinds_of(settings), new_execution_id, warn)
    reader = await stack.enter_async_context(KafkaReader(settings, get_logger("reader")))
    loop = IntakeLoop(reader, intake, persisted, parts.clock, get_logger("intake"))
    metrics.seconds_since_poll.set_function(lambda: parts.clock.monotonic() - loop.last_poll)
    roles.intake = loop
    roles.backpressure = Backpressure(
        SqlArchive(database), reader, settings.max_queued, metrics.queued.set, get_logger("backpressure")
    )
    backpressure = roles.backpressure
    metrics.intake_paused.set_function(lambda: float(backpressure.paused))
    return loop


def _warn_of(topics: Topics) -> Callable[[Received], None]:
    """What is wrong with an envelope and no reason to refuse the command."""
    log = get_logger("intake")

    def warn(item: Received) -> None:
        where = {"execucao_id": item.execucao_id, "command_id": item.identity.event_id, "topic": item.raw.topic}
        where |= {"partition": str(item.raw.partition), "offset": str(item.raw.offset)}
        for warning in item.envelope.warnings:
            log.warning("envelope_warning", warning=warning, **where)
        reply = item.envelope.reply
        if reply is not None and not topics.honours(reply):
            log.warning("reply_topic_not_honoured", reply_topic=reply.topic, **where)

    return warn
