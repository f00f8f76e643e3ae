from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from consumer.db import archive as archive_module
from consumer.db.archive import SqlArchive
from consumer.db.database import Database
from consumer.errors import TransientError
from tests.builders import record, uuid

if TYPE_CHECKING:
    from sqlalchemy import TextClause

    from tests.integration.core.store import Store

KEEP_DAYS = 30.0


async def finished(store: Store, *numbers: int, days: float, chunks: int = 2) -> None:
    """Commands that ended so many days ago, each with its chunks."""
    for number in numbers:
        await store.command(number)
        await planned(store, number, chunks)
        await age(store, number, "done", days)


async def planned(store: Store, number: int, chunks: int = 2) -> None:
    await store.execute(
        "INSERT INTO forecast_consumer.chunk (execucao_id, number, step_order, products, size) "
        "SELECT :id, number, 4, '[]', 0 FROM generate_series(1, :chunks) AS number",
        id=uuid(number),
        chunks=chunks,
    )


async def age(store: Store, number: int, state: str, days: float) -> None:
    await store.execute(
        "UPDATE forecast_consumer.command SET state = :state, received_at = now() - make_interval(secs => :seconds), "
        "finished_at = CASE :state WHEN 'done' THEN now() - make_interval(secs => :seconds) END "
        "WHERE execucao_id = :id",
        id=uuid(number),
        state=state,
        seconds=days * 86_400,
    )


async def refused(store: Store, *offsets: int, days: float) -> None:
    for offset in offsets:
        await store.take(record(value=b"?", offset=offset))
    await store.execute(
        "UPDATE forecast_consumer.refused_record SET refused_at = now() - make_interval(secs => :seconds) "
        'WHERE "offset" = ANY(:offsets)',
        seconds=days * 86_400,
        offsets=list(offsets),
    )


async def messages(store: Store, *names: str, days: float, reason: str | None = "not there") -> None:
    """Messages that were written so many days ago, and are parked if there is a reason."""
    await store.execute(
        "INSERT INTO forecast_consumer.outbox (event_id, topic, headers, created_at, parked_reason) "
        "SELECT name, 'replies', '[]', now() - make_interval(secs => :seconds), cast(:reason AS text) "
        "FROM unnest(cast(:names AS text[])) AS name",
        names=list(names),
        seconds=days * 86_400,
        reason=reason,
    )


async def waiting(store: Store) -> list[str]:
    return [row[0] for row in await store.rows("SELECT event_id FROM forecast_consumer.outbox ORDER BY 1")]


async def commands(store: Store) -> list[str]:
    sql = "SELECT execucao_id FROM forecast_consumer.command ORDER BY 1"
    return [row[0] for row in await store.rows(sql)]


async def chunks_of(store: Store) -> list[str]:
    return [row[0] for row in await store.rows("SELECT DISTINCT execucao_id FROM forecast_consumer.chunk ORDER BY 1")]


async def positions(store: Store) -> list[int]:
    return [row[0] for row in await store.rows('SELECT "offset" FROM forecast_consumer.refused_record ORDER BY 1')]


async def test_old_finished_commands_go_with_their_chunks(store: Store) -> None:
    """What ended longer ago than it is kept goes, with its chunks; what ended later stays, with its chunks."""
    await finished(store, 1, 2, days=KEEP_DAYS + 0.01)
    await finished(store, 3, days=KEEP_DAYS - 0.01)
    assert await SqlArchive(store.database).prune(KEEP_DAYS, 1000) == 2
    assert await commands(store) == await chunks_of(store) == [uuid(3)]
    assert await SqlArchive(store.database).prune(KEEP_DAYS, 1000) == 0


async def test_unfinished_commands_stay_however_old(store: Store) -> None:
    """A command that waits or runs is never pruned, nor are its chunks."""
    for number, state in ((1, "queued"), (2, "running")):
        await store.command(number)
        await planned(store, number)
        await age(store, number, state, days=10_000)
    assert await SqlArchive(store.database).prune(KEEP_DAYS, 1000) == 0
    assert await commands(store) == await chunks_of(store) == [uuid(1), uuid(2)]


async def test_old_cancellation_leaves_the_execution_that_it_names(store: Store) -> None:
    """The identity of a cancellation is pruned by itself: the plan of an execution that runs stays."""
    await store.claimed(1)
    await planned(store, 1)
    await store.cancel(1)
    cancelled_long_ago = "UPDATE forecast_consumer.command SET finished_at = now() - interval '90 days' "
    await store.execute(cancelled_long_ago + "WHERE comando = 'cancel' AND state = 'done'")
    assert await SqlArchive(store.database).prune(KEEP_DAYS, 1000) == 1
    assert await commands(store) == await chunks_of(store) == [uuid(1)]
    assert (await store.row(1))["state"] == "running"


async def test_old_positions_of_bad_records_go(store: Store) -> None:
    """The position of a bad record is forgotten when it is older than identities are kept, a younger one is not."""
    await refused(store, 1, 2, days=KEEP_DAYS + 0.01)
    await refused(store, 3, days=KEEP_DAYS - 0.01)
    assert await SqlArchive(store.database).prune(KEEP_DAYS, 1000) == 2
    assert await positions(store) == [3]


async def test_old_parked_messages_go(store: Store) -> None:
    """A parked message goes when it was written longer ago than commands are kept, the oldest first."""
    await messages(store, "a", days=KEEP_DAYS + 1)
    await messages(store, "b", days=KEEP_DAYS + 3)
    await messages(store, "c", days=KEEP_DAYS + 2)
    await messages(store, "d", days=KEEP_DAYS - 0.01)
    archive = SqlArchive(store.database)
    assert [(await archive.prune(KEEP_DAYS, 2), await waiting(store)) for _ in range(3)] == [
        (2, ["a", "d"]),
        (1, ["d"]),
        (0, ["d"]),
    ]


async def test_message_that_is_not_parked_waits_however_long(store: Store) -> None:
    """What the broker has not taken yet is never pruned."""
    await messages(store, "a", days=10_000, reason=None)
    assert await SqlArchive(store.database).prune(KEEP_DAYS, 1000) == 0
    assert await waiting(store) == ["a"]


async def test_young_parked_messages_are_not_read(store: Store) -> None:
    """To find that nothing is old costs the same however many messages are parked."""
    await messages(store, *map(str, range(5000)), days=KEEP_DAYS - 1)
    await store.execute("ANALYZE forecast_consumer.outbox")
    assert await blocks(store, archive_module._PRUNE_PARKED) < 20


async def test_young_refusals_are_not_read(store: Store) -> None:
    """The same of positions that were refused."""
    await store.execute("""
        INSERT INTO forecast_consumer.refused_record (topic, partition, "offset", timestamp_ms, reason)
        SELECT 'forecast.predict', 0, n, n, 'bad' FROM generate_series(1, 5000) AS n""")
    await store.execute("ANALYZE forecast_consumer.refused_record")
    assert await blocks(store, archive_module._PRUNE_POSITIONS) < 20


async def blocks(store: Store, statement: TextClause) -> int:
    """How many a statement reads, rolled back."""
    look = text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}")
    async with store.database.session() as session:
        [plan] = await session.scalar(look, {"keep_seconds": KEEP_DAYS * 86_400, "limit": 1000})
    return int(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"])


async def test_tables_of_the_backend_and_waiting_events_are_left_alone(store: Store) -> None:
    """Executions and models of the backend stay as they are, and so does every event that is not sent yet."""
    await finished(store, 1, 2, days=KEEP_DAYS + 1)
    await store.seed.model("m1", uuid(1), "NAIVE", 1)
    tables = (
        "SELECT to_jsonb(e)::text FROM execucao_planejamento AS e ORDER BY id",
        "SELECT to_jsonb(m)::text FROM forecast_modelo AS m ORDER BY id",
        "SELECT to_jsonb(o)::text FROM forecast_consumer.outbox AS o ORDER BY id",
    )
    before = [await store.rows(sql) for sql in tables]
    assert await SqlArchive(store.database).prune(KEEP_DAYS, 1000) == 2
    assert [await store.rows(sql) for sql in tables] == before
    assert [len(rows) for rows in before] == [2, 1, 2]


async def test_batch_is_bounded_and_begins_with_the_oldest(store: Store) -> None:
    """One call deletes at most so many of each kind, the oldest first."""
    for number, days in ((1, 40), (2, 60), (3, 50)):
        await finished(store, number, days=days)
        await refused(store, number, days=days)
    assert await SqlArchive(store.database).prune(KEEP_DAYS, 2) == 4
    assert (await commands(store), await positions(store)) == ([uuid(1)], [1])


async def test_pruner_passes_over_what_another_prunes(store: Store) -> None:
    """Rows that an open transaction prunes are not waited for: the others go at once."""
    await finished(store, 1, 2, 3, days=40)
    await refused(store, 1, 2, 3, days=40)
    bounds = {"keep_seconds": KEEP_DAYS * 86_400, "limit": 1}
    async with store.database.transaction() as session, asyncio.timeout(10):
        for statement in (archive_module._PRUNE_COMMANDS, archive_module._PRUNE_POSITIONS):
            assert len((await session.execute(statement, bounds)).all()) == 1
        assert await SqlArchive(store.database).prune(KEEP_DAYS, 1000) == 4
    assert (await commands(store), await positions(store), await chunks_of(store)) == ([], [], [])


async def test_pruners_at_once_divide_the_work(store: Store) -> None:
    """Several processes that prune at the same time delete every old row once, and none fails."""
    await store.execute(
        'INSERT INTO forecast_consumer.refused_record (topic, partition, "offset", timestamp_ms, reason, refused_at) '
        "SELECT 't', 0, number, 0, 'x', now() - interval '40 days' FROM generate_series(1, 500) AS number"
    )
    archive, pruned = SqlArchive(store.database), 0
    async with asyncio.timeout(30):
        while batch := sum(await asyncio.gather(*(archive.prune(KEEP_DAYS, 50) for _ in range(4)))):
            pruned += batch
    assert (pruned, await positions(store)) == (500, [])


@pytest.mark.parametrize(("bound", "counted"), [(1, 1), (3, 3), (4, 4), (100, 4)])
async def test_queue_is_counted_up_to_the_bound(store: Store, bound: int, counted: int) -> None:
    """Commands that wait are counted, no further than asked; those that run or have ended are not."""
    for number in range(1, 5):
        await store.command(number)
    for number, state in ((5, "running"), (6, "done")):
        await store.command(number)
        await age(store, number, state, days=0)
    assert await SqlArchive(store.database).queued(bound) == counted


async def test_absent_database_is_a_transient_error() -> None:
    """Without a database both questions say that they may be asked again."""
    async with Database.open("postgresql://nobody@127.0.0.1:1/none", connect_timeout=2.0) as database:
        archive = SqlArchive(database)
        for question in (archive.prune(KEEP_DAYS, 10), archive.queued(10)):
            with pytest.raises(TransientError):
                await question
