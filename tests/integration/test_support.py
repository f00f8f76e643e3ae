from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from tests.support.topics import once_there_is_a_controller

if TYPE_CHECKING:
    from tests.support.brokers import Broker
    from tests.support.kafka_server import KafkaServer
    from tests.support.topics import Topics


async def send(bootstrap_servers: str, topic: str, *values: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all") as producer:
        for value in values:
            await producer.send_and_wait(topic, value, partition=0)


async def receive(bootstrap_servers: str, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest")
    async with consumer:
        return [(await consumer.getone()).value for _ in range(count)]


@pytest.mark.broker
async def test_broker_round_trip(kafka: Broker, topics: Topics) -> None:
    """What a producer sends to a topic of the test, a consumer of that topic reads."""
    await topics.create()
    await send(kafka.bootstrap_servers, topics.train, b"one", b"two")
    assert await receive(kafka.bootstrap_servers, topics.train, 2) == [b"one", b"two"]


@pytest.mark.broker
@pytest.mark.full_broker
async def test_topics_have_the_partitions_asked_for(topics: Topics) -> None:
    """Topics are created with exactly as many partitions as the test wants."""
    await topics.create(topics.status, partitions=3)
    consumer = AIOKafkaConsumer(topics.status, bootstrap_servers=topics.bootstrap_servers)
    async with consumer:
        assert consumer.partitions_for_topic(topics.status) == {0, 1, 2}


@pytest.mark.broker
@pytest.mark.full_broker
@pytest.mark.parametrize("how", ["restart", "kill"])
async def test_restarted_broker_keeps_its_data(restartable_kafka: KafkaServer, topics: Topics, how: str) -> None:
    """A record acknowledged before a restart, or a kill -9, is read after it at the same address."""
    await topics.create(topics.train, partitions=1)
    await send(restartable_kafka.bootstrap_servers, topics.train, b"kept")
    before = restartable_kafka.pid
    if how == "kill":
        restartable_kafka.kill()
    restartable_kafka.restart()
    assert restartable_kafka.pid != before
    assert await receive(restartable_kafka.bootstrap_servers, topics.train, 1) == [b"kept"]


async def test_topics_wait_for_a_controller() -> None:
    """A thawed broker that its controller gave up is asked again until it is back, and no more."""
    answers: list[Exception | int] = [AttributeError("nodeId"), AttributeError("nodeId"), 1, 2]

    async def ask() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert await once_there_is_a_controller(ask) == 1
    assert answers == [2]


async def test_databases_of_tests_are_isolated(database_url: str, initialised_database_url: str) -> None:
    """What one database of a test gets, another does not see; the empty one is empty."""
    ours = await asyncpg.connect(database_url)
    other = await asyncpg.connect(initialised_database_url)
    try:
        await ours.execute("CREATE TABLE only_here (id int)")
        assert await other.fetchval("SELECT to_regclass('only_here')") is None
        assert await ours.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 1
        assert await other.fetchval("SELECT to_regclass('serie_temporal')") is not None
    finally:
        await ours.close()
        await other.close()
