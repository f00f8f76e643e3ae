from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from sqlalchemy import text

from consumer.db.database import Database
from consumer.db.inbox import SqlInboxTransaction
from consumer.errors import TransientError, UnusableDatabaseError
from consumer.intake import IntakeReport
from tests.builders import received, record, uuid
from tests.integration.core.store import Store
from tests.unit.core.inbox_suite import InboxSuite, World, letters, rejections, statuses

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class TestSqlInbox(InboxSuite):
    @pytest.fixture
    def world(self, store: Store) -> World:
        return store


async def test_batch_is_one_transaction(store: Store) -> None:
    """Executions, commands, events and dead letters of a batch carry the number of one transaction."""
    await store.take(record(event_id="a"), record(event_id="b", offset=1), record(value=b"?", offset=2))
    tables = ("execucao_planejamento", "forecast_consumer.command", "forecast_consumer.outbox")
    numbers = {row for table in tables for row in await store.rows(f"SELECT xmin::text FROM {table}")}
    assert len(numbers) == 1


async def test_failing_batch_leaves_nothing(store: Store) -> None:
    """An error before the commit takes everything of the batch with it."""

    async def fail_late() -> None:
        async with store.inbox.transaction() as inbox:
            await inbox.accept([received(event_id="a")])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_late()
    assert (await store.executions(), await store.messages()) == (0, [])


@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        (asyncpg.InvalidPasswordError, TransientError),
        (asyncpg.InvalidAuthorizationSpecificationError, TransientError),
        (asyncpg.InternalServerError, UnusableDatabaseError),
    ],
)
async def test_a_server_that_lets_nobody_in_is_no_records_fault(
    initialised_database_url: str, monkeypatch: pytest.MonkeyPatch, refusal: type[Exception], told: type[Exception]
) -> None:
    """While a password is changed, or the server is in trouble, a good command is kept for later and not refused."""
    async with Database.open(initialised_database_url) as database:
        store = Store(database)
        busy = database.session()
        session = await busy.__aenter__()  # the pool's open connection, free again a moment later
        await session.execute(text("SELECT 1"))

        async def refused(*_: Any, **__: Any) -> None:
            await session.rollback()
            raise refusal("not now")

        with monkeypatch.context() as patch:
            patch.setattr(asyncpg, "connect", refused)
            with pytest.raises(told, match="not now"):
                await store.take(record(event_id="good"))
        await busy.__aexit__(None, None, None)
        assert await store.take(record(event_id="good")) == IntakeReport(accepted=1)


async def test_command_row_remembers_where_it_came_from(store: Store) -> None:
    """What replies, deadlines and logs need of a command is kept beside it."""
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    headers = {
        "ce_correlationid": "conv",
        "ce_expirytime": "2030-01-01T00:00:00Z",
        "traceparent": trace,
        "kafka_replyTopic": "web.reply",
        "kafka_correlationId": "corr",
        "kafka_replyPartition": "4",
    }
    await store.take(record("train", {"priority": 2}, event_id="a", offset=42, headers=headers, partition=3))
    row = await store.scalar("SELECT to_jsonb(c) FROM forecast_consumer.command AS c")
    wanted = {
        "source": "/tests",
        "event_id": "a",
        "comando": "train",
        "priority": 2,
        "origin_topic": "forecast.train",
        "origin_partition": 3,
        "origin_offset": 42,
        "correlation_id": "conv",
        "traceparent": trace,
        "reply_topic": "web.reply",
        "reply_partition": 4,
        "reply_correlation": "corr",
        "state": "queued",
        "attempt": 0,
        "status_sequence": 1,
    }
    assert {name: row[name] for name in wanted} == wanted
    assert row["expires_at"].startswith("2030-01-01T00:00:00")


@pytest.mark.parametrize("first", [{}, {"ce_correlationid": "conv"}])
async def test_what_one_command_names_is_not_its_neighbours(store: Store, first: dict[str, str]) -> None:
    """Of a batch each command keeps what it named itself, whether others of the batch named any such thing or not."""
    await store.take(record(event_id="a", offset=1, headers=first), record(event_id="b", offset=2, headers={}))
    found = await store.rows("SELECT event_id, correlation_id, traceparent FROM forecast_consumer.command ORDER BY 1")
    assert found == [("a", first.get("ce_correlationid"), None), ("b", None, None)]


@pytest.mark.parametrize(
    ("kind", "tipo"), [("predict", "FORECAST"), ("train", "PIPELINE_DIARIO"), ("backtest", "PIPELINE_DIARIO")]
)
async def test_only_a_predict_is_of_type_forecast(store: Store, kind: str, tipo: str) -> None:
    """Planning reads the newest execution of type FORECAST, so only a predict is one."""
    await store.command(kind=kind, produto_ids=["p1"])
    found = await store.rows(
        "SELECT tipo::text, parametros ->> 'comando', parametros -> 'produto_ids' FROM execucao_planejamento"
    )
    assert found == [(tipo, kind, ["p1"])]


async def test_adopted_execution_keeps_what_the_backend_wrote(store: Store) -> None:
    """Adoption changes no field of the backend's row."""
    await store.seed.execution(uuid(1), tipo="COMPLETO", parametros={"mine": 1})
    await store.command()
    assert await store.rows("SELECT id, tipo::text, parametros, status::text FROM execucao_planejamento") == [
        (uuid(1), "COMPLETO", {"mine": 1}, "PENDENTE")
    ]


async def test_race_for_one_identity_leaves_one_execution(store: Store) -> None:
    """Two processes that read the same records at once, in any order, make each execution once."""
    batch = [record(event_id=str(number), offset=number) for number in range(30)]
    bad = [record(value=b"?", offset=100 + number) for number in range(5)]
    reports = await asyncio.gather(*(store.take(*batch, *bad) for _ in range(3)))
    assert sum(report.accepted for report in reports) == 30
    assert sum(report.duplicates for report in reports) == 60
    assert sum(report.refused for report in reports) == 5
    assert (await store.executions(), letters(await store.messages())) == (30, 5)


async def test_second_inserter_waits_and_finds_a_duplicate(store: Store) -> None:
    """While another transaction holds the same identity uncommitted, intake waits for its end, then drops its own."""
    async with store.inbox.transaction() as other:
        await other.accept([received(event_id="a", data={"execucao_id": uuid(1)})])
        waiting = asyncio.create_task(store.take(record(event_id="a", data={"execucao_id": uuid(1)})))
        await _until_blocked(store)
    assert await waiting == IntakeReport(duplicates=1)
    assert await store.executions() == 1


async def test_second_inserter_takes_over_when_the_first_rolls_back(store: Store) -> None:
    """If the other transaction fails, the waiting one inserts the command after all."""
    waiting: list[asyncio.Task[IntakeReport]] = []

    async def fail_late() -> None:
        async with store.inbox.transaction() as other:
            await other.accept([received(event_id="a")])
            waiting.append(asyncio.create_task(store.take(record(event_id="a"))))
            await _until_blocked(store)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_late()
    assert await waiting[0] == IntakeReport(accepted=1)


async def test_race_of_two_commands_for_one_execution_rejects_one(store: Store) -> None:
    """Of two commands that adopt the same execution at once one wins, and the other is told execution-exists."""
    async with store.inbox.transaction() as other:
        await other.accept([received(event_id="a", data={"execucao_id": uuid(1)})])
        waiting = asyncio.create_task(store.take(record(event_id="b", data={"execucao_id": uuid(1)})))
        await _until_blocked(store)
    assert await waiting == IntakeReport(refused=1)
    assert rejections(await store.messages()) == ["execution-exists"]


@pytest.mark.parametrize(
    ("cancelled", "report", "told"),
    [(1, IntakeReport(duplicates=1), []), (2, IntakeReport(refused=1), ["id-reused"])],
    ids=["of the same execution", "of another one"],
)
async def test_race_of_two_cancels_with_one_identity(
    store: Store, cancelled: int, report: IntakeReport, told: list[str]
) -> None:
    """The second one is a duplicate, or told that its id was used before; it never vanishes."""
    for number in (1, 2):
        await store.command(number)
    async with store.inbox.transaction() as other:
        await other.cancel([received("cancel", {"execucao_id": uuid(1)}, event_id="a")])
        waiting = asyncio.create_task(store.take(record("cancel", {"execucao_id": uuid(cancelled)}, event_id="a")))
        await _until_blocked(store)
    assert await waiting == report
    assert rejections(await store.messages()) == told
    assert [await store.status(uuid(number)) for number in (1, 2)] == ["ERRO", "PENDENTE"]


async def _until_blocked(store: Store) -> None:
    """Return when some backend of this database waits for a lock."""
    sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with asyncio.timeout(10):
        while not await store.scalar(sql):
            pass


@pytest.mark.parametrize(
    ("kind", "backend", "statement"),
    [
        *(("predict", "knows nothing", number) for number in range(3)),
        # The row's lock keeps the other process out before the third.
        *((kind, "inserted it", number) for kind in ("predict", "cancel") for number in range(2)),
    ],
)
async def test_redelivery_during_the_facts_is_still_a_duplicate(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    backend: str,
    statement: int,
) -> None:
    """A command that another process commits between two statements of ours is a duplicate, never a rejection.

    It read it from another partition: of one partition, one process at a time persists records.
    """
    if backend == "inserted it":
        await store.pendente(uuid(1))
    raw = record(kind, {"execucao_id": uuid(1)}, event_id="a")
    resent = record(kind, {"execucao_id": uuid(1)}, event_id="a", partition=1)
    inner = SqlInboxTransaction.facts

    async def facts(self: SqlInboxTransaction, items: Any) -> Any:
        monkeypatch.setattr(SqlInboxTransaction, "facts", inner)
        session: Any = _Interrupted(self._session, statement, lambda: store.take(resent))
        self._session = session
        self._executions = type(self._executions)(self._session)
        return await inner(self, items)

    monkeypatch.setattr(SqlInboxTransaction, "facts", facts)
    assert await store.take(raw) == IntakeReport(duplicates=1)
    assert (rejections(await store.messages()), len(statuses(await store.messages()))) == ([], 1)


class _Interrupted:
    """A session before whose n-th statement something else happens."""

    def __init__(self, session: Any, statement: int, interrupt: Callable[[], Awaitable[object]]) -> None:
        self._session = session
        self._left = statement
        self._interrupt = interrupt

    async def scalars(self, *arguments: Any) -> Any:
        await self._count()
        return await self._session.scalars(*arguments)

    async def execute(self, *arguments: Any) -> Any:
        await self._count()
        return await self._session.execute(*arguments)

    async def _count(self) -> None:
        self._left -= 1
        if self._left == -1:
            await self._interrupt()


async def test_batch_larger_than_a_statements_parameters(store: Store) -> None:
    """The number of bad records in a batch is bounded by no limit of the database's protocol."""
    report = await store.take(*(record(value=b"?", offset=number) for number in range(7000)))
    assert report == IntakeReport(refused=7000)


async def test_cancelled_queued_execution_never_started(store: Store) -> None:
    """An execution that was cancelled before it began has an end and no beginning."""
    await store.command()
    await store.cancel()
    found = await store.rows(
        "SELECT started_at IS NULL, completed_at IS NULL, error_message FROM execucao_planejamento"
    )
    assert found == [(True, False, "cancelled on request")]
    assert (await store.row())["state"] == "done"
    assert await store.queue().claim(1) == []
