"""The checks before the first command: one clear line for what is missing, patience for what is merely late."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from consumer.db.check import differences, format_differences
from consumer.db.connection_errors import describe_connection_error
from consumer.db.errors import is_transient
from consumer.db.own_check import look_at_own_schema
from consumer.errors import StartupError, TransientError
from consumer.exit_codes import ExitCode
from consumer.kafka.topics import existing_topics, planned_topics, retention_days

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncConnection
    from structlog.typing import FilteringBoundLogger

    from consumer.clock import Clock
    from consumer.db.database import Database
    from consumer.settings import Settings

RETRY_SECONDS: Final = 2.0
NEW_TOPIC_SECONDS: Final = 4.0


async def check_database(database: Database, settings: Settings, clock: Clock, log: FilteringBoundLogger) -> None:
    """Wait for PostgreSQL, then compare its tables with the mapping.

    Raises:
        StartupError: It cannot be reached, or its structure is not what the service was written for.
    """
    url = settings.database_url.get_secret_value()
    problem: str | None = None

    async def look() -> None:
        nonlocal problem
        try:
            async with database.engine.connect() as connection:
                problem = await _schema_problem(connection, log)
        except Exception as error:
            line = describe_connection_error(error, url)
            if is_transient(error):
                raise TransientError(line) from error
            raise StartupError(line, ExitCode.DATABASE) from error

    await _patiently(look, settings.startup_wait_seconds, ExitCode.DATABASE, clock, log)
    if problem is not None:
        raise StartupError(problem, ExitCode.SCHEMA)


async def _schema_problem(connection: AsyncConnection, log: FilteringBoundLogger) -> str | None:
    """What the tables have that the service cannot work with, None when they fit."""
    found = await differences(connection)
    if found:
        return format_differences(found)
    own = await look_at_own_schema(connection)
    if own.newer and own.problem is None:
        log.info("schema_is_newer", revision=own.revision, newest_known=own.newest_known)
    return own.problem


async def check_broker(settings: Settings, clock: Clock, log: FilteringBoundLogger) -> None:
    """Wait for Kafka, then see that every topic is there.

    Raises:
        StartupError: No broker answers, or topics are missing.
    """

    async def reach() -> None:
        await existing_topics(settings)

    async def find_topics() -> None:
        there = await existing_topics(settings)
        missing = [plan.name for plan in planned_topics(settings, 1) if plan.name not in there]
        if missing:
            names = ", ".join(missing)
            hint = "run `forecast-consumer topics create`"
            raise TransientError(f"Kafka at {settings.bootstrap_servers} has no topic {names}; {hint}")

    await _patiently(reach, settings.startup_wait_seconds, ExitCode.BROKER, clock, log)
    # A topic that was created a moment ago may not be known to every broker yet.
    await _patiently(find_topics, min(NEW_TOPIC_SECONDS, settings.startup_wait_seconds), ExitCode.BROKER, clock, log)
    await _warn_of_long_retention(settings, log)


async def _warn_of_long_retention(settings: Settings, log: FilteringBoundLogger) -> None:
    """A record that outlives its identity would run again when its topic is read from the start."""
    try:
        kept = await retention_days(settings)
    except TransientError as error:
        log.info("retention_not_compared", error=str(error))
        return
    longer = {topic: round(days, 1) for topic, days in kept.items() if days > settings.keep_days}
    if longer:
        log.warning("topics_outlive_identities", topics_keep_days=longer, keep_days=settings.keep_days)


async def _patiently(
    attempt: Callable[[], Awaitable[None]],
    patience_seconds: float,
    exit_code: ExitCode,
    clock: Clock,
    log: FilteringBoundLogger,
) -> None:
    deadline = clock.monotonic() + patience_seconds
    while True:
        try:
            return await attempt()
        except TransientError as error:
            left = deadline - clock.monotonic()
            if left <= 0:
                raise StartupError(str(error), exit_code) from error
            log.warning("waiting_at_start", error=str(error), seconds_left=round(left))
        await asyncio.sleep(min(RETRY_SECONDS, max(left, 0.0)))
