"""What each role but the worker is made of: adapters, the options read from the settings, and what it wakes."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from consumer.artefacts.pruning import ArtefactArchive
from consumer.artefacts.store import FileArtefacts
from consumer.backpressure import Backpressure
from consumer.db.archive import SqlArchive
from consumer.db.database import Database
from consumer.db.inbox import SqlInbox
from consumer.db.known import SESSION_KEY, KnownMessages
from consumer.db.model_files import SqlModelFiles
from consumer.db.outbox import SqlOutbox
from consumer.errors import TransientError
from consumer.execution_ids import ExecutionIds
from consumer.intake import Intake, IntakeReport
from consumer.intake_loop import IntakeLoop
from consumer.kafka.publisher import KafkaPublisher
from consumer.kafka.reader import KafkaReader
from consumer.maintenance import Maintenance
from consumer.outbox import Relay, RelayOptions
from consumer.telemetry.logs import get_logger
from consumer.wiring import kinds_of, topics_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AsyncExitStack

    from consumer.clock import Clock
    from consumer.outbound import Composer, Topics
    from consumer.received import Received
    from consumer.service import Roles
    from consumer.settings import Settings
    from consumer.telemetry.metrics import Metrics

LET_GO_SECONDS = 1.0  # for giving up the relay's lease at the very end


@dataclass(frozen=True, slots=True)
class Parts:
    """What every adapter may need.

    Attributes:
        at_work: Set when this process does its work: what can wait must not take the processors from its start.
    """

    settings: Settings
    clock: Clock
    metrics: Metrics
    stopping: asyncio.Event
    at_work: asyncio.Event = field(default_factory=asyncio.Event)


async def open_database(
    parts: Parts, purpose: str, stack: AsyncExitStack, pool_size: int = 10, max_overflow: int = 20
) -> Database:
    """A pool whose sessions say in ``pg_stat_activity`` what they are for; the stack closes it."""
    url = parts.settings.database_url.get_secret_value()
    name = f"forecast-consumer {purpose} {parts.settings.instance}"
    pool = Database.open(url, application_name=name, pool_size=pool_size, max_overflow=max_overflow)
    return await stack.enter_async_context(pool)


async def build_relay(parts: Parts, database: Database, stack: AsyncExitStack) -> Relay:
    """The relay and its producer; the stack gives up the lease and closes the producer.

    What later transactions of this database commit, it need not read back.
    """
    settings = parts.settings
    known = KnownMessages()
    database.share(SESSION_KEY, known)
    outbox = SqlOutbox(database, owner=settings.instance, known=known)
    stack.push_async_callback(_let_go, outbox)
    publisher = await stack.enter_async_context(KafkaPublisher(settings, get_logger("publisher")))
    options = RelayOptions(
        batch=settings.relay_batch,
        lease_seconds=settings.relay_lease_seconds,
        poll_seconds=settings.relay_poll_seconds,
    )
    metrics, log = parts.metrics, get_logger("relay")
    relay = Relay(outbox, publisher, options, metrics.published.inc, metrics.parked.inc, parts.clock, log)
    metrics.seconds_since_relay.set_function(lambda: parts.clock.monotonic() - relay.last_round)
    return relay


async def _let_go(outbox: SqlOutbox) -> None:
    """With the database away, the lease simply runs out."""
    with suppress(TransientError, TimeoutError):
        async with asyncio.timeout(LET_GO_SECONDS):
            await outbox.let_go()


def build_maintenance(parts: Parts, database: Database) -> Maintenance:
    """Pruning of old rows, and of files that no row refers to."""
    settings = parts.settings
    files = FileArtefacts(settings.artefact_dir, parts.clock)
    archive = ArtefactArchive(
        SqlArchive(database), files, SqlModelFiles(database), keep_versions=settings.keep_model_versions
    )
    return Maintenance(archive, settings.keep_days, settings.maintenance_seconds, get_logger("maintenance"))


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
    intake = Intake(inbox, kinds_of(settings), ExecutionIds(), warn)
    reader = await stack.enter_async_context(KafkaReader(settings, get_logger("reader"), parts.at_work.set))
    loop = IntakeLoop(reader, intake, persisted, settings.intake_batch, parts.clock, get_logger("intake"))
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
