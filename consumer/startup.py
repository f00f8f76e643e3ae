"""The checks before the first command: one clear line for what is missing, patience for what is merely late."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

from consumer.db.check import differences, format_differences
from consumer.db.connection_errors import describe_connection_error, no_encryption
from consumer.db.errors import is_transient, log_in_refused
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

Found = TypeVar("Found")

RETRY_SECONDS: Final = 2.0
NEW_TOPIC_SECONDS: Final = 4.0


async def check_database(database: Database, settings: Settings, clock: Clock, log: FilteringBoundLogger) -> None:
    """Wait for PostgreSQL, then compare its tables with the mapping.

    Raises:
        StartupError: It cannot be reached, or its structure is not what the service was written for.
    """
    url = settings.database_url.get_secret_value()

    async def look() -> str | None:
        try:
            async with database.engine.connect() as connection:
                return await _schema_problem(connection, log)
        except Exception as error:
            line = describe_connection_error(error, url)
            if is_transient(error) and not log_in_refused(error) and not no_encryption(error):
                raise TransientError(line) from error
            raise StartupError(line, ExitCode.DATABASE) from error

    problem = await _patiently(look, settings.startup_wait_seconds, ExitCode.DATABASE, clock, log)
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

    async def missing() -> list[str]:
        there = await existing_topics(settings)
        return [plan.name for plan in planned_topics(settings, 1) if plan.name not in there]

    async def find() -> None:
        if names := await missing():
            hint = "run `forecast-consumer topics create`"
            raise TransientError(f"Kafka at {settings.bootstrap_servers} has no topic {', '.join(names)}; {hint}")

    if await _patiently(missing, settings.startup_wait_seconds, ExitCode.BROKER, clock, log):
        # A topic that was created a moment ago may not be known to every broker yet.
        await _patiently(find, min(NEW_TOPIC_SECONDS, settings.startup_wait_seconds), ExitCode.BROKER, clock, log)


async def check_everything(database: Database, settings: Settings, clock: Clock, log: FilteringBoundLogger) -> None:
    """Both checks side by side; what one finds wrong for good ends the other.

    Raises:
        StartupError: What is wrong; of two errors at once both, with the exit code of the database.
    """
    try:
        async with asyncio.TaskGroup() as checks:
            checks.create_task(check_database(database, settings, clock, log))
            checks.create_task(check_broker(settings, clock, log))
    except ExceptionGroup as group:
        errors = [error for error in group.exceptions if isinstance(error, StartupError)]
        unforeseen = [error for error in group.exceptions if not isinstance(error, StartupError)]
        if len(unforeseen) == 1:
            raise unforeseen[0] from None  # a group's own message names nothing
        if unforeseen:
            raise
        errors.sort(key=lambda error: error.exit_code)
        raise StartupError("\n  also: ".join(map(str, errors)), errors[0].exit_code) from group


async def warn_of_long_retention(settings: Settings, log: FilteringBoundLogger) -> None:
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
    attempt: Callable[[], Awaitable[Found]],
    patience_seconds: float,
    exit_code: ExitCode,
    clock: Clock,
    log: FilteringBoundLogger,
) -> Found:
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
