from __future__ import annotations

import asyncio
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.commands import binary, produce
from tests.e2e.new_topics import create_visible
from tests.e2e.rows import connected, rows
from tests.support.evidence import collect
from tests.support.invariants import violations
from tests.support.journal import Follower

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.e2e.conftest import MakeService
    from tests.e2e.sales import Catalogue
    from tests.support.topics import Topics

pytestmark = [pytest.mark.broker, pytest.mark.full_broker]

PRODUCTS, CHUNK, HORIZON = 600, 20, 6
PREDICT = str(uuid.uuid4())
# Fires when a chunk's transaction has committed, and only then.
TELL_CHUNKS = """
    CREATE FUNCTION tell_chunk() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_notify(''chunk'', NEW.number::text); RETURN NULL; END';
    CREATE TRIGGER tell_chunk AFTER UPDATE OF summary ON forecast_consumer.chunk
        FOR EACH ROW EXECUTE FUNCTION tell_chunk()"""
CHUNKS = (
    "SELECT number, step_order, products, size, summary, xmin FROM forecast_consumer.chunk WHERE {} ORDER BY number"
)
RESULTS = "SELECT * FROM forecast_resultado ORDER BY id"
RESUMO = "SELECT status::text, resultado_resumo FROM execucao_planejamento WHERE id = $1"


async def test_killed_predict_ends_once_and_computes_nothing_twice(
    topics: Topics, sales_url: str, second_sales_url: str, catalogue: Catalogue, make_service: MakeService
) -> None:
    """SIGKILL in the middle of a predict, a start: one end, one set of results, the same as without the crash."""
    await create_visible(topics)
    command = {"execucao_id": PREDICT, "produto_ids": catalogue.ids(PRODUCTS), "horizonte_semanas": HORIZON}
    sent = await produce(topics, [binary("predict", command)])
    service = make_service(sales_url, chunk_products=CHUNK, session_timeout_seconds=6)
    async with committed_chunks(sales_url) as chunks:
        service.start()
        for _ in range(3):
            await service.meanwhile(asyncio.wait_for(chunks.get(), 60))
        service.kill()
        await service.exit_code()
    before = await rows(sales_url, CHUNKS.format("summary IS NOT NULL"))
    assert 3 <= len(before) < PRODUCTS // CHUNK, "the kill did not come in the middle"

    async with Follower(topics.bootstrap_servers, topics.all[4:]) as follower:
        service.start()
        await service.meanwhile(follower.until(lambda journal: PREDICT in journal.ended, "the end"))
        assert await service.stop() == 0
        journal = await follower.to_the_end()
    assert [status["attempt"] for status in journal.of_execution(topics.status, PREDICT)][-1] >= 2
    # xmin is the transaction that wrote the row: what was committed was not written again.
    after = await rows(sales_url, CHUNKS.format("summary IS NOT NULL"))
    assert len(after) == PRODUCTS // CHUNK
    assert [row for row in after if row[0] in {row[0] for row in before}] == before
    assert violations(await collect(sales_url, topics, sent, journal)) == []
    results = await rows(sales_url, RESULTS)
    assert len(results) == PRODUCTS * HORIZON * 2
    assert (results, await rows(sales_url, RESUMO, PREDICT)) == await uninterrupted(
        make_service, second_sales_url, topics
    )


async def uninterrupted(make_service: MakeService, url: str, topics: Topics) -> tuple[Any, Any]:
    """The same record, read by another group into another database with the same sales, chunked otherwise."""
    service = make_service(url, chunk_products=CHUNK, group_id=topics.name("second"), compute_processes=1)
    service.start()
    await service.logged("execution_finished", 90)
    assert await service.stop() == 0
    return await rows(url, RESULTS), await rows(url, RESUMO, PREDICT)


@asynccontextmanager
async def committed_chunks(url: str) -> AsyncIterator[asyncio.Queue[str]]:
    """Numbers of the chunks as their transactions commit."""
    queue: asyncio.Queue[str] = asyncio.Queue()
    async with connected(url) as connection:
        await connection.execute(TELL_CHUNKS)
        await connection.add_listener("chunk", lambda *told: queue.put_nowait(told[3]))
        yield queue
