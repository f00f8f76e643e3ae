from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from consumer import startup
from consumer.db.database import Database
from consumer.db.init import create_shared_tables
from consumer.errors import StartupError, TransientError
from consumer.exit_codes import ExitCode
from consumer.kafka.topics import existing_topics
from consumer.settings import Settings
from consumer.startup import check_broker, check_database
from tests.fakes import CapturedLog, ManualClock

if TYPE_CHECKING:
    from tests.support.topics import Topics


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "RETRY_SECONDS", 0.0)


def settings_for(url: str, **values: Any) -> Settings:
    return Settings(**{"database_url": url, "startup_wait_seconds": 0.0, **values})


async def refusal(url: str, **values: Any) -> StartupError:
    async with Database.open(url) as database:
        with pytest.raises(StartupError) as caught:
            await check_database(database, settings_for(url, **values), ManualClock(), CapturedLog().log)
    assert "\n" not in str(caught.value) or caught.value.exit_code is ExitCode.SCHEMA
    return caught.value


async def test_complete_database_passes(initialised_database_url: str) -> None:
    """A database with the shared tables and our newest revision lets the service start."""
    async with Database.open(initialised_database_url) as database:
        settings = settings_for(initialised_database_url)
        await check_database(database, settings, ManualClock(), CapturedLog().log)


async def test_unmigrated_database_says_which_command_helps(database_url: str) -> None:
    """Without our own schema the start ends with the command that makes it."""
    async with Database.open(database_url) as database, database.engine.begin() as connection:
        await create_shared_tables(connection)
    error = await refusal(database_url)
    assert (error.exit_code, "revision none" in str(error)) == (ExitCode.SCHEMA, True)
    assert "forecast-consumer db migrate" in str(error)


async def test_missing_tables_are_named(database_url: str) -> None:
    """Tables that are not there are named before the first command is read."""
    async with Database.open(database_url) as database, database.engine.begin() as connection:
        await create_shared_tables(connection)
        await connection.exec_driver_sql("DROP TABLE serie_temporal, forecast_resultado CASCADE")
    error = await refusal(database_url)
    assert error.exit_code is ExitCode.SCHEMA
    assert "forecast_resultado" in str(error)
    assert "serie_temporal" in str(error)


async def test_empty_database_is_told_what_makes_its_tables(database_url: str) -> None:
    """A newcomer's first start ends with the command that helps."""
    error = await refusal(database_url)
    assert error.exit_code is ExitCode.SCHEMA
    assert "forecast-consumer db init" in str(error)


async def test_database_name_that_does_not_exist_is_not_waited_for(postgres_url: str) -> None:
    """A mistake in the URL is told at once, without the password, however patient the service is."""
    url = postgres_url.rsplit("/", 1)[0] + "/nosuchdatabase"
    error = await refusal(url, startup_wait_seconds=60.0)
    assert error.exit_code is ExitCode.DATABASE
    assert "nosuchdatabase" in str(error)


async def test_server_without_encryption_is_not_waited_for(postgres_url: str) -> None:
    """Encryption that the URL demands and the server does not have is told at once, with what to check."""
    error = await refusal(
        f"{postgres_url}{'&' if '?' in postgres_url else '?'}sslmode=require", startup_wait_seconds=60.0
    )
    assert error.exit_code is ExitCode.DATABASE
    assert "FORECAST_DATABASE_URL" in str(error)
    assert "offers no encryption: check sslmode" in str(error)


async def test_unreachable_database_is_one_line() -> None:
    """Nobody at the address: one line with the address and the exit code of databases, never the password."""
    error = await refusal("postgresql://u:geheim@127.0.0.1:1/db")
    assert error.exit_code is ExitCode.DATABASE
    assert "127.0.0.1" in str(error)
    assert "geheim" not in str(error)


async def test_late_service_is_waited_for() -> None:
    """What comes up within the patience is waited for, and each wait is told with the time that is left."""
    clock, log = ManualClock(), CapturedLog()
    tries: list[int] = []

    async def attempt() -> None:
        tries.append(1)
        clock.seconds += 20.0
        if len(tries) < 3:
            raise TransientError("not yet")

    await startup._patiently(attempt, 60.0, ExitCode.BROKER, clock, log.log)
    assert [(one["event"], one["seconds_left"]) for one in log.entries] == [
        ("waiting_at_start", 40),
        ("waiting_at_start", 20),
    ]


async def test_patience_ends() -> None:
    """What does not come up in time ends the start with the last reason and its exit code."""
    clock = ManualClock()

    async def attempt() -> None:
        clock.seconds += 20.0
        raise TransientError("still away")

    with pytest.raises(StartupError, match="still away") as caught:
        await startup._patiently(attempt, 60.0, ExitCode.BROKER, clock, CapturedLog().log)
    assert (caught.value.exit_code, clock.seconds) == (ExitCode.BROKER, 60.0)


async def test_absent_broker_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody at the bootstrap address: one line, the setting to look at and the exit code of brokers."""
    monkeypatch.setattr("consumer.kafka.topics.ADMIN_SECONDS", 3.0)
    settings = Settings(bootstrap_servers="127.0.0.1:1", startup_wait_seconds=0.0)
    with pytest.raises(StartupError, match=r"127\.0\.0\.1:1.*is FORECAST_BOOTSTRAP_SERVERS right\?$") as caught:
        await check_broker(settings, ManualClock(), CapturedLog().log)
    assert caught.value.exit_code is ExitCode.BROKER


@pytest.mark.full_broker
async def test_missing_topics_are_named_with_the_command_that_helps(topics: Topics) -> None:
    """Topics that are not there are named; when all seven are, the service starts."""
    values: dict[str, Any] = {**topics.settings, "startup_wait_seconds": 0.0}
    settings = Settings(**values)
    await topics.create(*(name for name in topics.all if name != topics.dlq))
    with pytest.raises(StartupError, match="forecast-consumer topics create") as caught:
        await check_broker(settings, ManualClock(), CapturedLog().log)
    assert topics.dlq in str(caught.value)
    assert topics.train not in str(caught.value)
    await topics.create(topics.dlq)
    async with asyncio.timeout(10):  # the broker's metadata lag behind its answer
        while topics.dlq not in await existing_topics(settings):
            pass
    await check_broker(settings, ManualClock(), CapturedLog().log)
