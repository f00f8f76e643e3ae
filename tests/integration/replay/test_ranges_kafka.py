from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaProducer

from consumer.client.partitions import partitions_of
from consumer.demo.processes import free_port
from consumer.kafka.ranges import BrokerAwayError, LogRange, RangeReader
from consumer.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schemas.records import RawRecord
    from tests.support.topics import Topics

pytestmark = pytest.mark.broker
SECONDS = 30


def settings(topics: Topics) -> Settings:
    return Settings(**topics.settings, _env_file=None)  # type: ignore[arg-type]  # names only


async def produce(topics: Topics, topic: str, times: Sequence[int], partition: int = 0) -> None:
    """One record for each time, in this order; its value is its number."""
    async with AIOKafkaProducer(bootstrap_servers=topics.bootstrap_servers, acks="all") as producer:
        for number, milliseconds in enumerate(times):
            value = str(number).encode()
            await producer.send_and_wait(topic, value, partition=partition, timestamp_ms=milliseconds)


async def read(topics: Topics, wanted: LogRange, *names: str, batch: int = 500) -> tuple[list[RawRecord], int, int]:
    """The records of the range, the offsets passed, and how many there were to pass."""
    found = await partitions_of(settings(topics), names)
    records: list[RawRecord] = []
    passed = 0
    async with asyncio.timeout(SECONDS), RangeReader(settings(topics), found, wanted, batch) as reader:
        for name in names:
            async with aclosing(reader.read(name)) as pieces:
                async for piece in pieces:
                    records += piece.records
                    passed += piece.passed
                    assert len(piece.records) <= batch
        return records, passed, reader.total


async def test_whole_log_up_to_its_end_at_the_start(topics: Topics) -> None:
    """Topic after topic every record is read once in batches; what is written meanwhile is not."""
    await topics.create(topics.train, topics.predict)
    for topic in (topics.train, topics.predict):
        await produce(topics, topic, [1000] * 7, partition=0)
        await produce(topics, topic, [1000] * 3, partition=2)
    found = await partitions_of(settings(topics), [topics.predict, topics.train])
    async with asyncio.timeout(SECONDS), RangeReader(settings(topics), found, LogRange(), 2) as reader:
        await produce(topics, topics.train, [1000] * 5)
        read_ = [
            raw
            for topic in (topics.predict, topics.train)
            async for piece in reader.read(topic)
            for raw in piece.records
        ]
        assert reader.total == 20
    assert [raw.topic for raw in read_] == [topics.predict] * 10 + [topics.train] * 10
    places = {(raw.topic, raw.partition, raw.offset) for raw in read_}
    assert len(places) == 20
    assert {offset for topic, partition, offset in places if (topic, partition) == (topics.train, 0)} == set(range(7))


async def test_offsets_bound_the_partitions_that_they_name(topics: Topics) -> None:
    """The first offset is read, the last is not, and other partitions are left out."""
    await topics.create(topics.train)
    await produce(topics, topics.train, [1000] * 6, partition=1)
    await produce(topics, topics.train, [1000] * 6, partition=2)
    await produce(topics, topics.train, [1000] * 6, partition=3)
    records, passed, total = await read(topics, LogRange(first={1: 4}, last={2: 2}), topics.train)
    assert sorted((raw.partition, raw.offset) for raw in records) == [(1, 4), (1, 5), (2, 0), (2, 1)]
    assert passed == total == 4
    assert await read(topics, LogRange(first={1: 99}), topics.train) == ([], 0, 0)


@pytest.mark.full_broker
async def test_times_that_do_not_rise_hide_nothing(topics: Topics) -> None:
    """Every record of the time range is read, however producers' clocks went; the range has no end record."""
    await topics.create(topics.train)
    base = 1_700_000_000_000
    times = [base, base + 50, base + 10, base + 99, base + 20, base + 200, base + 49, base + 100]
    await produce(topics, topics.train, times)
    since, until = (datetime.fromtimestamp((base + add) / 1000, UTC) for add in (20, 100))
    records, passed, total = await read(topics, LogRange(since, until), topics.train)
    assert [raw.timestamp_ms - base for raw in records] == [50, 99, 20, 49]
    assert passed == total == 7
    nothing = LogRange(datetime(2100, 1, 1, tzinfo=UTC))
    assert await read(topics, nothing, topics.train) == ([], 0, 0)


async def test_empty_topic_is_read_at_once(topics: Topics) -> None:
    """A topic without records has no pieces."""
    await topics.create(topics.train)
    assert await read(topics, LogRange(), topics.train) == ([], 0, 0)


async def test_partition_that_is_not_there_has_nothing(topics: Topics) -> None:
    """A reader that is closed before it has asked the broker anything closes like any other."""
    await topics.create(topics.train)
    assert await read(topics, LogRange(first={99: 0}), topics.train) == ([], 0, 0)


async def test_absent_broker_is_told() -> None:
    """Without a broker the reader does not open, and says where it looked."""
    address = f"127.0.0.1:{free_port()}"
    nowhere = Settings(bootstrap_servers=address, _env_file=None)  # type: ignore[call-arg]  # pydantic-settings' own
    with pytest.raises(BrokerAwayError, match=rf"{address}.*FORECAST_BOOTSTRAP_SERVERS"):
        async with RangeReader(nowhere, {"x": [0]}, LogRange()):
            pass


@pytest.mark.full_broker
async def test_gap_at_the_end_is_passed(topics: Topics) -> None:
    """A log that ends with the mark of a transaction, which no reader is given, is read to its end."""
    await topics.create(topics.train)
    producer = AIOKafkaProducer(bootstrap_servers=topics.bootstrap_servers, transactional_id=topics.prefix)
    async with producer, producer.transaction():
        await producer.send_and_wait(topics.train, b"x", partition=0)
    records, passed, total = await read(topics, LogRange(), topics.train)
    assert ([raw.value for raw in records], passed, total) == ([b"x"], 2, 2)
