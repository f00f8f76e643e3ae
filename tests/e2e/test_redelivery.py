from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.e2e.commands import Outgoing, binary, plain, produce, structured
from tests.e2e.new_topics import PARTITIONS, create_visible
from tests.e2e.rows import connected, rows
from tests.support.evidence import collect
from tests.support.invariants import violations
from tests.support.journal import Follower, Journal

if TYPE_CHECKING:
    from tests.e2e.conftest import MakeService
    from tests.e2e.sales import Catalogue
    from tests.support.topics import Topics

pytestmark = [pytest.mark.broker, pytest.mark.full_broker]

EXECUTIONS, BAD = 24, 6
# Executions that the backend inserted and nobody has commanded to run.
SCREENS = [f"00000000-0000-4000-8000-{number:012d}" for number in range(3)]
INSERT_SCREEN = "INSERT INTO execucao_planejamento (id, tipo, gatilho) VALUES ($1, 'FORECAST', 'MANUAL')"
TABLES = {
    "execucao_planejamento": "SELECT * FROM execucao_planejamento ORDER BY id",
    "execucao_step_log": "SELECT * FROM execucao_step_log ORDER BY id",
    "forecast_resultado": "SELECT * FROM forecast_resultado ORDER BY id",
    "forecast_metrica": "SELECT * FROM forecast_metrica ORDER BY id",
    "forecast_modelo": "SELECT * FROM forecast_modelo ORDER BY id",
    "command": "SELECT * FROM forecast_consumer.command ORDER BY source, event_id",
    "refused_record": "SELECT * FROM forecast_consumer.refused_record ORDER BY 1, 2, 3",
}


async def test_whole_log_delivered_twice_changes_nothing(
    topics: Topics, sales_url: str, catalogue: Catalogue, make_service: MakeService
) -> None:
    """With the group's offsets back at 0 no execution, no row and no event id is new."""
    await create_visible(topics)
    async with connected(sales_url) as connection:
        await connection.executemany(INSERT_SCREEN, [(name,) for name in SCREENS])
    sent = await produce(topics, commands(catalogue))
    service = make_service(sales_url, worker_executions=4)
    async with Follower(topics.bootstrap_servers, topics.all[4:]) as follower:
        service.start()
        await service.meanwhile(follower.until(all_told, "ends and rejections", 90))
        assert await service.stop() == 0
        before = await tables(sales_url), contents(await follower.to_the_end())

        await reset_offsets(topics)
        service.start()
        await service.until(lambda: read(service.events("batch_persisted")) >= len(sent), "second reading")
        assert await service.stop() == 0
        assert (await tables(sales_url), contents(await follower.to_the_end())) == before
        journal = follower.journal
    again = service.events("batch_persisted")
    assert sum(batch["duplicates"] for batch in again) == EXECUTIONS + len(SCREENS)
    assert sum(batch["accepted"] + batch["cancels"] + batch["refused"] for batch in again) == 0
    assert violations(await collect(sales_url, topics, sent, journal)) == []


def commands(catalogue: Catalogue) -> list[Outgoing]:
    """Every envelope, bad records, and cancellations."""
    found: list[Outgoing] = []
    for number in range(EXECUTIONS // 3):
        products = catalogue.intermittent(3, skip=number)
        found.append(binary("predict", {"produto_ids": products}))
        found.append(structured("backtest", {"produtoIds": products}))
        found.append(plain("train", {"produto_ids": products}))
    found += [plain("predict", {"horizonte_semanas": 99}).bad() for _ in range(BAD)]
    return found + [binary("cancel", {"execucao_id": name, "motivo": "not needed"}) for name in SCREENS]


def all_told(journal: Journal) -> bool:
    return len(journal.ended) == EXECUTIONS + len(SCREENS) and len(journal.rejected) == BAD


def read(batches: list[dict[str, Any]]) -> int:
    return sum(batch["records"] for batch in batches)


async def tables(url: str) -> dict[str, list[tuple[Any, ...]]]:
    return {name: await rows(url, sql) for name, sql in TABLES.items()}


def contents(journal: Journal) -> list[tuple[object, ...]]:
    return sorted((message.content for message in journal.messages), key=repr)


async def reset_offsets(topics: Topics) -> None:
    """Commit offset 0 for every partition while the group has no member."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=topics.bootstrap_servers, group_id=topics.settings["group_id"], enable_auto_commit=False
    )
    places = [TopicPartition(name, number) for name in topics.all[:4] for number in range(PARTITIONS)]
    async with consumer:
        consumer.assign(places)
        await consumer.commit(dict.fromkeys(places, 0))
