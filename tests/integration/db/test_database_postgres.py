from __future__ import annotations

import asyncio
import contextlib
from io import BytesIO
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from consumer.db import liveness
from consumer.db.database import Database, describe_connection_error
from consumer.db.driver import driver_connection


async def settings(database: Database, *names: str) -> list[str]:
    async with database.session() as session:
        return [await session.scalar(text("SELECT current_setting(:name)"), {"name": name}) for name in names]


async def test_transaction_commits_at_its_end(database: Database) -> None:
    """What a transaction did is there once its block has ended."""
    async with database.transaction() as session:
        await session.execute(text("CREATE TABLE kept (id int)"))
    async with database.session() as session:
        assert await session.scalar(text("SELECT count(*) FROM kept")) == 0


async def test_transaction_rolls_back_when_its_block_raises(database: Database) -> None:
    """What a transaction did is gone if its block raised."""

    async def fail() -> None:
        async with database.transaction() as session:
            await session.execute(text("CREATE TABLE gone (id int)"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with database.session() as session:
        assert await session.scalar(text("SELECT to_regclass('gone')::text")) is None


async def test_session_commits_nothing_by_itself(database: Database) -> None:
    """A plain session leaves nothing behind unless it commits."""
    async with database.session() as session:
        await session.execute(text("CREATE TABLE gone (id int)"))
    async with database.session() as session:
        assert await session.scalar(text("SELECT to_regclass('gone')::text")) is None


async def test_copy_on_a_fresh_session_belongs_to_its_transaction(database: Database) -> None:
    """COPY as the very first statement of a transaction is undone with it."""

    async def copy_and_fail() -> None:
        async with database.transaction() as session:
            connection = await driver_connection(session)
            await connection.copy_to_table("target", source=BytesIO(b"1\n"), format="text")
            raise ZeroDivisionError

    async with database.transaction() as session:
        await session.execute(text("CREATE TABLE target (id int)"))
    with pytest.raises(ZeroDivisionError):
        await copy_and_fail()
    async with database.session() as session:
        assert await session.scalar(text("SELECT count(*) FROM target")) == 0


async def test_connections_are_named_and_in_utc(database_url: str) -> None:
    """Operators find the service in pg_stat_activity, and weeks begin at UTC's midnight."""
    async with Database.open(database_url, application_name="worker 7") as database:
        assert await settings(database, "application_name", "timezone") == ["worker 7", "UTC"]


async def test_server_ends_transactions_that_idle(database: Database) -> None:
    """A frozen process cannot keep its row locks: the server gives it a minute."""
    assert await settings(database, "idle_in_transaction_session_timeout") == ["1min"]


async def test_prisma_url_works_as_pasted(database_url: str) -> None:
    """The backend's URL with its schema, pool and encryption parameters connects, and finds tables in that schema."""
    url = database_url + ("&" if "?" in database_url else "?") + "schema=planejamento&connection_limit=5&sslmode=prefer"
    async with Database.open(url) as database, database.transaction() as session:
        await session.execute(text("CREATE SCHEMA planejamento"))
        await session.execute(text("CREATE TABLE here (id int)"))
        assert await session.scalar(text("SELECT schemaname FROM pg_tables WHERE tablename = 'here'")) == "planejamento"


async def test_nothing_is_prepared_by_name_behind_a_pooler(database_url: str) -> None:
    """Behind PgBouncer no statement stays prepared, and no start-up parameter that it refuses is sent."""
    url = database_url + ("&" if "?" in database_url else "?") + "pgbouncer=true"
    async with Database.open(url) as database:
        async with database.transaction() as session:
            for number in range(3):
                await session.execute(text("SELECT CAST(:number AS int)"), {"number": number})
        async with database.session() as session:
            prepared = await session.scalars(text("SELECT statement FROM pg_prepared_statements"))
            assert not [statement for statement in prepared if "CAST" in statement]
        assert await settings(database, "jit", "timezone") != ["off", "UTC"]


async def test_statement_is_cut_off_by_the_command_timeout(database_url: str) -> None:
    """No statement runs longer than the bound it was given."""
    async with Database.open(database_url, command_timeout=0.2) as database:
        with pytest.raises((TimeoutError, DBAPIError)):
            async with database.session() as session:
                await session.execute(text("SELECT pg_sleep(30)"))


async def test_leaving_the_block_ends_connections_in_use(database_url: str) -> None:
    """Even the connection of a session that somebody forgot to close is cut off."""
    async with Database.open(database_url) as database:
        session = database._sessions()
        await session.execute(text("SELECT 1"))
        connection = await driver_connection(session)
        assert not connection.is_closed()
    assert connection.is_closed()
    with contextlib.suppress(DBAPIError):
        await session.close()


async def test_unknown_database_is_described_in_one_line(database_url: str) -> None:
    """A wrong database name gives one line that says so, without the password."""
    head, _, tail = database_url.rpartition("/")
    name, _, query = tail.partition("?")
    url = f"{head}/{name}_missing" + (f"?{query}" if query else "")
    async with Database.open(url) as database:
        with pytest.raises(Exception, match="does not exist") as failure:
            async with database.session() as session:
                await session.execute(text("SELECT 1"))
    line = describe_connection_error(failure.value, url)
    assert "the database does not exist" in line
    assert "\n" not in line


async def test_connection_that_the_server_closed_is_replaced(database: Database) -> None:
    """A backend that was terminated between two uses costs nobody a failure: the pool connects anew."""
    gone = asyncio.Event()
    async with database.session() as session:
        first = await session.scalar(text("SELECT pg_backend_pid()"))
        (await driver_connection(session)).add_termination_listener(lambda _: gone.set())
    url = database.engine.url.render_as_string(hide_password=False)
    async with Database.open(url) as other, other.single() as killing:
        await killing.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": first})
    async with asyncio.timeout(10):
        await gone.wait()
    async with database.session() as session:
        assert await session.scalar(text("SELECT pg_backend_pid()")) != first


@pytest.mark.parametrize(("idle_seconds", "pings"), [(60.0, 0), (0.0, 2)])
async def test_connection_is_pinged_only_after_it_has_idled(
    database: Database, monkeypatch: pytest.MonkeyPatch, idle_seconds: float, pings: int
) -> None:
    """A ping is a round trip: a connection that was used a moment ago is taken at its word."""
    monkeypatch.setattr(liveness, "PING_AFTER_SECONDS", idle_seconds)
    dialect = database.engine.dialect
    asked: list[object] = []
    monkeypatch.setattr(dialect, "do_ping", asked.append)
    for _ in range(3):
        async with database.session() as session:
            await session.execute(text("SELECT 1"))
    assert len(asked) == pings


async def test_connection_that_does_not_answer_its_ping_is_replaced(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that went away without a word is found by the ping, and another takes its place."""
    monkeypatch.setattr(liveness, "PING_AFTER_SECONDS", 0.0)
    async with database.session() as session:
        first = await session.scalar(text("SELECT pg_backend_pid()"))
    dialect = database.engine.dialect

    def silent(connection: Any) -> bool:
        connection.driver_connection.terminate()
        return ping(connection)

    ping = dialect.do_ping
    monkeypatch.setattr(dialect, "do_ping", silent)
    async with database.session() as session:
        assert await session.scalar(text("SELECT pg_backend_pid()")) != first


async def test_connection_whose_begin_failed_is_replaced(database: Database) -> None:
    """A BEGIN that was cut short leaves a connection that could only nest transactions; nobody gets it again."""
    async with database.engine.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        begin = asyncio.create_task(driver.transaction().start())
        await asyncio.sleep(0)
        begin.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await begin
    async with database.session() as session:
        await session.execute(text("SELECT 1"))
        assert (await driver_connection(session)) is not driver


async def test_single_statement_commits_itself(database: Database) -> None:
    """What a single statement did stays, whatever its block does then, and no transaction is open around it."""

    async def fail() -> None:
        async with database.single() as connection:
            await connection.execute(text("CREATE TABLE kept (id int)"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with database.single() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM kept")) == 0
        assert not (await connection.get_raw_connection()).driver_connection.is_in_transaction()


async def test_transaction_after_a_single_statement_is_one(database: Database) -> None:
    """The pool's connections serve both: a transaction on one that carried a single statement rolls back as any."""

    async def fail() -> None:
        async with database.transaction() as session:
            await session.execute(text("INSERT INTO target VALUES (1)"))
            raise ZeroDivisionError

    async with database.single() as connection:
        await connection.execute(text("CREATE TABLE target (id int)"))
    with pytest.raises(ZeroDivisionError):
        await fail()
    async with database.single() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM target")) == 0


async def test_reading_opens_no_transaction(database: Database) -> None:
    """A session that reads is none of a transaction: each statement sees what was committed before it."""
    async with database.reading() as session:
        assert await session.scalar(text("SELECT to_regclass('late') IS NULL"))
        pooled = await (await session.connection()).get_raw_connection()
        assert not pooled.driver_connection.is_in_transaction()
        async with database.single() as connection:
            await connection.execute(text("CREATE TABLE late (id int)"))
        assert await session.scalar(text("SELECT count(*) FROM late")) == 0
