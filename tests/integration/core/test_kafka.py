from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import NewTopic

from consumer.errors import OffsetsLostError, PublishError, RecordRefusedError, TransientError
from consumer.kafka.publisher import KafkaPublisher
from consumer.kafka.reader import KafkaReader
from consumer.kafka.topics import _create, create_topics, existing_topics, planned_topics, retention_days
from consumer.ports.intake import Batch
from consumer.settings import Settings
from tests.builders import message
from tests.fakes import CapturedLog
from tests.support.kafka_server import KafkaServer
from tests.support.raw_names import CODECS, produce_raw_name
from tests.support.topics import admin_client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consumer.outbound import OutboxMessage
    from tests.support.topics import Topics

pytestmark = pytest.mark.broker


def settings_of(topics: Topics, **values: Any) -> Settings:
    return Settings(**{**topics.settings, "intake_poll_seconds": 0.2, "publish_timeout_seconds": 4.0, **values})


async def produce(topics: Topics, topic: str, values: Sequence[bytes], **about: Any) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=topics.bootstrap_servers)
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(topic, value, partition=0, **about)
    finally:
        await producer.stop()


async def consume(topics: Topics, topic: str, count: int) -> list[Any]:
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=topics.bootstrap_servers, auto_offset_reset="earliest", group_id=None
    )
    await consumer.start()
    try:
        async with asyncio.timeout(20):
            return [await consumer.getone() for _ in range(count)]
    finally:
        await consumer.stop()


async def poll_until(reader: KafkaReader, count: int) -> Batch:
    """The records of as many polls as it takes, and the offsets after them."""
    records: list[Any] = []
    offsets: dict[tuple[str, int], int] = {}
    async with asyncio.timeout(30):
        while len(records) < count:
            batch = await reader.poll()
            records += batch.records
            offsets |= batch.next_offsets
    return Batch(tuple(records), offsets)


async def test_reader_tells_when_it_has_partitions(topics: Topics) -> None:
    """Who waits for the group's answer is told of it, without a record to read."""
    await topics.create()
    assigned = asyncio.Event()
    async with KafkaReader(settings_of(topics), CapturedLog().log, assigned.set) as reader:
        assert not assigned.is_set()
        async with asyncio.timeout(30):
            while not assigned.is_set():
                with contextlib.suppress(TransientError):
                    await reader.poll()


async def test_reader_never_commits_by_itself(topics: Topics) -> None:
    """What was read and not committed is read again by the next reader; what was committed is not."""
    await topics.create()
    await produce(topics, topics.predict, [b"0", b"1", b"2"], key=b"k", headers=[("h", b"\xff"), ("n", None)])
    settings = settings_of(topics)
    async with KafkaReader(settings, CapturedLog().log) as reader:
        first = await poll_until(reader, 3)
    record = first.records[1]
    assert (record.topic, record.partition, record.offset, record.key, record.value) == (
        topics.predict,
        0,
        1,
        b"k",
        b"1",
    )
    assert record.headers == (("h", b"\xff"), ("n", None))
    assert record.timestamp_ms > 0
    assert first.next_offsets == {(topics.predict, 0): 3}
    async with KafkaReader(settings, CapturedLog().log) as reader:
        again = await poll_until(reader, 3)
        assert again.records == first.records
        await reader.commit({(topics.predict, 0): 2})
    async with KafkaReader(settings, CapturedLog().log) as reader:
        assert [one.value for one in (await poll_until(reader, 1)).records] == [b"2"]


async def test_batch_is_bounded_by_the_setting(topics: Topics) -> None:
    """One poll gives at most the records of one batch."""
    await topics.create()
    await produce(topics, topics.train, [b"x"] * 7)
    async with KafkaReader(settings_of(topics, intake_batch=3), CapturedLog().log) as reader:
        sizes: list[int] = []
        async with asyncio.timeout(30):
            while sum(sizes) < 7:
                sizes.append(len((await reader.poll()).records))
    assert max(sizes) == 3


async def test_paused_reader_gives_nothing_and_goes_on_where_it_was(topics: Topics) -> None:
    """While paused every poll is empty; afterwards everything that came meanwhile is read, in order."""
    await topics.create()
    await produce(topics, topics.predict, [b"0", b"1"])
    async with KafkaReader(settings_of(topics), CapturedLog().log) as reader:
        await poll_until(reader, 2)
        reader.pause(paused=True)
        await produce(topics, topics.predict, [b"2", b"3", b"4"])
        assert [(await reader.poll()).records for _ in range(5)] == [()] * 5
        reader.pause(paused=False)
        assert [one.value for one in (await poll_until(reader, 3)).records] == [b"2", b"3", b"4"]


@pytest.mark.full_broker
async def test_pause_survives_rebalances(topics: Topics) -> None:
    """A paused reader stays paused while a member joins and leaves, reads on as a member, and loses no record."""
    await topics.create()
    settings, log = settings_of(topics, session_timeout_seconds=6.0), CapturedLog()
    async with KafkaReader(settings, log.log) as reader:
        await reader.poll()
        reader.pause(paused=True)
        for topic in (topics.predict, topics.train):
            await produce(topics, topic, [b"0", b"1"])
        assert await polled_until_assigned(reader, log, times=1) == []
        async with KafkaReader(settings, CapturedLog().log) as other:
            other.pause(paused=True)
            assert (await other.poll()).records == ()
            assert await polled_until_assigned(reader, log, times=2) == []
        assert await polled_until_assigned(reader, log, times=3) == []
        assert [(await reader.poll()).records for _ in range(5)] == [()] * 5
        reader.pause(paused=False)
        batch = await poll_until(reader, 4)
        await reader.commit(batch.next_offsets)
    assert sorted((one.topic, one.value) for one in batch.records) == [
        (topic, value) for topic in (topics.predict, topics.train) for value in (b"0", b"1")
    ]


async def polled_until_assigned(reader: KafkaReader, log: CapturedLog, times: int) -> list[Any]:
    """What the polls gave until the group had assigned partitions that often, and in one poll more."""
    records: list[Any] = []
    async with asyncio.timeout(30):
        while log.names.count("partitions_assigned") < times:
            records += (await reader.poll()).records
        records += (await reader.poll()).records
    return records


@pytest.mark.full_broker
async def test_commit_for_partitions_of_another_member_is_lost(topics: Topics) -> None:
    """Offsets of partitions that the group gave to somebody else are not committed: OffsetsLostError."""
    await topics.create()
    async with KafkaReader(settings_of(topics), CapturedLog().log) as reader:
        await reader.poll()
        with pytest.raises(OffsetsLostError):
            await reader.commit({("no.such.topic", 0): 1})


async def test_publisher_sends_in_order_and_acknowledges(topics: Topics) -> None:
    """Acknowledged messages are on the topic with key, headers and order; a header and a value may be null."""
    await topics.create()
    sent = [
        message(
            f"e{number}", topic=topics.status, key=b"k", value=str(number).encode(), headers=(("n", None), ("b", b"\0"))
        )
        for number in range(50)
    ]
    last = message("tomb", topic=topics.status, key=b"k", value=None)
    async with KafkaPublisher(settings_of(topics), CapturedLog().log) as publisher:
        assert await publisher.publish([*sent, last]) == [None] * 51
    found = await consume(topics, topics.status, 51)
    assert [one.value for one in found] == [*(str(number).encode() for number in range(50)), None]
    assert {one.partition for one in found} == {found[0].partition}
    assert found[0].headers == (("n", None), ("b", b"\0"))


@pytest.mark.full_broker
async def test_oversize_message_is_refused_and_the_others_pass(topics: Topics) -> None:
    """A message over the topic's limit is refused for good; those around it, of the same execution, arrive once."""
    await topics.create()
    batch = [message(name, topic=topics.status, key=b"k", value=name.encode()) for name in "abcd"]
    batch[1] = message("b", topic=topics.status, key=b"k", value=b"x" * 2_000_000)
    async with KafkaPublisher(settings_of(topics), CapturedLog().log) as publisher:
        outcomes = await publish_until_known(publisher, batch)
    assert isinstance(outcomes.pop("b"), RecordRefusedError)
    assert outcomes == {"a": None, "c": None, "d": None}
    values = [one.value for one in await consume(topics, topics.status, 3)]
    assert list(dict.fromkeys(values)) == [b"a", b"c", b"d"]


@pytest.mark.full_broker
async def test_topic_that_takes_small_batches_loses_only_what_is_too_large_by_itself(topics: Topics) -> None:
    """A broker refuses a batch as a whole: every message that the topic would take arrives, in order."""
    async with admin_client(topics.bootstrap_servers) as admin:
        limit = {"max.message.bytes": "20000"}
        await admin.create_topics([NewTopic(topics.status, 1, 1, topic_configs=limit)])
    topics.created.append(topics.status)
    names = [f"e{number:02}" for number in range(60)]
    batch = [message(name, topic=topics.status, key=b"k", value=name.encode() * 300) for name in names]
    batch[30] = message("e30", topic=topics.status, key=b"k", value=b"x" * 30_000)
    async with KafkaPublisher(settings_of(topics), CapturedLog().log) as publisher:
        outcomes = await publish_until_known(publisher, batch)
    assert isinstance(outcomes.pop("e30"), RecordRefusedError)
    assert outcomes == {name: None for name in names if name != "e30"}
    values = [one.value[:3].decode() for one in await consume(topics, topics.status, 59)]
    assert list(dict.fromkeys(values)) == list(outcomes)


async def publish_until_known(publisher: KafkaPublisher, left: Sequence[OutboxMessage]) -> dict[str, Exception | None]:
    """As the relay does: what is unknown is sent again, in its order, until every outcome is known."""
    outcomes: dict[str, Exception | None] = {}
    async with asyncio.timeout(60):
        while left:
            for one, outcome in zip(left, await publisher.publish(left), strict=True):
                if not isinstance(outcome, PublishError):
                    outcomes[one.event_id] = outcome
            left = [one for one in left if one.event_id not in outcomes]
    return dict(sorted(outcomes.items()))


@pytest.mark.full_broker
async def test_reply_topic_that_does_not_exist_is_refused_within_seconds(topics: Topics) -> None:
    """A client's reply topic that is not there costs that reply alone: own topics pass, and it is final."""
    await topics.create()
    batch = [
        message("a", topic=topics.name("nobody.reply"), key=b"k"),
        message("b", topic=topics.status, key=b"k"),
        message("c", topic=topics.step_log, key=b"k"),
    ]
    async with KafkaPublisher(settings_of(topics, publish_timeout_seconds=30.0), CapturedLog().log) as publisher:
        async with asyncio.timeout(10):
            refused, *others = await publisher.publish(batch)
        assert isinstance(refused, RecordRefusedError)
        assert "nobody.reply" in str(refused)
        assert others == [None, None]


@pytest.mark.usefixtures("restartable_kafka")  # where we can start a broker, we can start two of our own
async def test_reply_topic_without_enough_replicas_costs_only_its_replies() -> None:
    """They are refused, and nobody waits for them any more; when the replicas are back they are sent again."""
    with KafkaServer() as first, KafkaServer(beside=first) as second:
        await create_replicated(first.bootstrap_servers, **{"poor.reply": [1, 2], Settings().topic_status: [1]})
        settings = Settings(bootstrap_servers=first.bootstrap_servers, publish_timeout_seconds=3.0)
        async with KafkaPublisher(settings, CapturedLog().log) as publisher:
            assert await both(publisher) == [None, None]
            second.kill()
            await both_become(publisher, [RecordRefusedError, None])
            async with asyncio.timeout(10):  # less than each one's own publish timeout would come to
                assert [await both(publisher) for _ in range(5)] == [[RecordRefusedError, None]] * 5
            second.start()
            await both_become(publisher, [None, None])


async def both(publisher: KafkaPublisher) -> list[type | None]:
    """What becomes of a reply, and of an event that is sent with it."""
    pair = [message("r", topic="poor.reply", key=b"k"), message("s", topic=Settings().topic_status, key=b"k")]
    return [None if outcome is None else type(outcome) for outcome in await publisher.publish(pair)]


async def both_become(publisher: KafkaPublisher, outcomes: list[type | None]) -> None:
    """A cluster that loses a broker, or gets it back, needs its time to notice."""
    async with asyncio.timeout(40):
        while await both(publisher) != outcomes:  # noqa: ASYNC110 - there is nothing else to wait for
            await asyncio.sleep(0.1)


async def create_replicated(bootstrap_servers: str, **replicas: list[int]) -> None:
    """Topics of one partition that need all their replicas; the first of these leads."""
    async with admin_client(bootstrap_servers) as admin:
        new = [
            NewTopic(name, -1, -1, replica_assignments={0: nodes}, topic_configs={"min.insync.replicas": len(nodes)})
            for name, nodes in replicas.items()
        ]
        answer = await admin.create_topics(new)
    assert not [entry for entry in answer.topic_errors if entry[1]]


@pytest.mark.full_broker
async def test_reply_partition_that_does_not_exist_is_refused(topics: Topics) -> None:
    """A partition that the reply topic has not is the client's error: final, and the next message passes."""
    await topics.create(topics.name("web.reply"), partitions=2)
    batch = [message(str(number), topic=topics.name("web.reply"), partition=number) for number in (9, 1)]
    async with KafkaPublisher(settings_of(topics), CapturedLog().log) as publisher:
        refused, passed = await publisher.publish(batch)
    assert isinstance(refused, RecordRefusedError)
    assert passed is None


@pytest.mark.full_broker
async def test_topics_are_created_once_as_planned(topics: Topics) -> None:
    """Creating topics makes the seven and is harmless the second time."""
    settings = settings_of(topics)
    names = {plan.name for plan in planned_topics(settings, 2)}
    assert set(await create_topics(settings, 2, 1)) == names
    topics.created.extend(names)
    assert await create_topics(settings, 2, 1) == []
    assert names <= await existing_topics(settings)


async def test_cluster_without_a_controller_is_said_in_words() -> None:
    """A cluster that has just started may have nobody yet who creates topics: a TransientError, no traceback."""

    class Admin:
        async def create_topics(self, _: object) -> None:
            raise AttributeError("'NoneType' object has no attribute 'nodeId'")

    with pytest.raises(TransientError, match="no controller yet"):
        await _create(Admin(), planned_topics(Settings(), 1)[0], 1)


@pytest.mark.full_broker
async def test_retention_is_what_the_topics_were_created_with(topics: Topics) -> None:
    """Each command topic's retention is told in days; one that keeps its records for ever is left out."""
    days = {topics.train: 3.0, topics.backtest: 0.5, topics.cancel: 400.0}
    kept = {topics.predict: "-1", **{name: str(int(some * 86_400_000)) for name, some in days.items()}}
    async with admin_client(topics.bootstrap_servers) as admin:
        await admin.create_topics([NewTopic(name, 1, 1, topic_configs={"retention.ms": kept[name]}) for name in kept])
    topics.created.extend(kept)
    async with asyncio.timeout(20):
        while not kept.keys() <= await existing_topics(settings_of(topics)):
            pass
    assert await retention_days(settings_of(topics)) == days


@pytest.mark.full_broker
async def test_retention_that_is_not_told_is_no_answer(topics: Topics) -> None:
    """When the broker answers for a topic with an error, nobody may take that for a retention without end."""
    with pytest.raises(TransientError, match=r"retention of .*forecast\.\w+: UnknownTopicOrPartitionError"):
        await retention_days(settings_of(topics))


async def test_reader_and_publisher_open_without_a_broker_and_connect_when_it_comes(
    topics: Topics, restartable_kafka: KafkaServer
) -> None:
    """A broker that leaves before the first poll costs attempts, each bounded; when it is back both work."""
    await topics.create()
    settings = settings_of(topics)
    restartable_kafka.kill()
    async with (
        KafkaReader(settings, CapturedLog().log) as reader,
        KafkaPublisher(settings, CapturedLog().log) as sender,
    ):
        reader.pause(paused=True)
        with pytest.raises(TransientError, match=f"cannot read from Kafka at {topics.bootstrap_servers}"):
            await reader.poll()
        (outcome,) = await sender.publish([message("e", topic=topics.predict, value=b"1")])
        assert isinstance(outcome, PublishError)
        restartable_kafka.start()
        reader.pause(paused=False)
        async with asyncio.timeout(20):
            while (await sender.publish([message("e", topic=topics.predict, value=b"1")])) != [None]:
                pass
        assert (await read_when_up(reader)).records[0].value == b"1"


async def read_when_up(reader: KafkaReader) -> Batch:
    async with asyncio.timeout(30):
        while True:
            try:
                batch = await reader.poll()
            except TransientError:
                continue
            if batch.records:
                return batch


@pytest.mark.parametrize("kind", ["reader", "publisher"])
@pytest.mark.full_broker
async def test_clients_that_cannot_say_goodbye_leave_no_task_behind(
    topics: Topics, restartable_kafka: KafkaServer, kind: str
) -> None:
    """Closed while the broker is frozen, a client ends within its bound, and nothing of it runs on."""
    await topics.create()
    before, settings = asyncio.all_tasks(), settings_of(topics, publish_timeout_seconds=1.0)
    client = (
        KafkaReader(settings, CapturedLog().log) if kind == "reader" else KafkaPublisher(settings, CapturedLog().log)
    )
    async with client:
        if isinstance(client, KafkaReader):
            await client.poll()
        else:
            async with asyncio.timeout(30):  # the broker takes a moment to know a new topic
                while await client.publish([message("e", topic=topics.status)]) != [None]:
                    pass
        restartable_kafka.pause()
        if isinstance(client, KafkaPublisher):
            assert isinstance((await client.publish([message("f", topic=topics.status)]))[0], PublishError)
        closed_from = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - closed_from < 8
    restartable_kafka.resume()
    await asyncio.sleep(0.2)
    assert asyncio.all_tasks() - before == set()


@pytest.mark.parametrize("codec", CODECS)
async def test_header_names_that_are_not_utf8_stop_nothing(topics: Topics, codec: str) -> None:
    """A record with such a name is read with the bytes shown, those before and behind it as ever, each once."""
    await topics.create()
    values = [b"%d" % number for number in range(5)]
    assert await produce_raw_name(topics.bootstrap_servers, topics.train, b"x\xff\xfe", values, codec) == 0
    await produce(topics, topics.train, [b"5"], headers=[("plain", None)])
    async with KafkaReader(settings_of(topics, intake_batch=2), CapturedLog().log) as reader:
        batch = await poll_until(reader, 6)
    assert [one.value for one in batch.records] == [b"0", b"1", b"2", b"3", b"4", b"5"]
    assert [one.headers for one in batch.records] == [
        *[(("first", b"1"),)] * 2,
        (("first", b"1"), ("x\\xff\\xfe", b"odd"), ("last", None)),
        *[(("first", b"1"),)] * 2,
        (("plain", None),),
    ]
    assert [one.key for one in batch.records[:2]] == [b"k", b"k"]
    assert batch.next_offsets == {(topics.train, 0): 6}


@pytest.mark.full_broker
async def test_reader_that_fetches_nothing_any_more_begins_anew(topics: Topics) -> None:
    """A consumer whose fetching has died is replaced, and what was not committed is read again."""
    await topics.create()
    await produce(topics, topics.train, [b"0"])
    async with KafkaReader(settings_of(topics), CapturedLog().log) as reader:
        await poll_until(reader, 1)
        reader._consumer._fetcher._fetch_task.cancel()
        await produce(topics, topics.train, [b"1"])
        assert [one.value for one in (await poll_until(reader, 2)).records] == [b"0", b"1"]


async def test_absent_broker_is_a_transient_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a broker the question for topics says so, with its address, within its bound."""
    monkeypatch.setattr("consumer.kafka.topics.ADMIN_SECONDS", 3.0)
    with pytest.raises(TransientError, match=r"127\.0\.0\.1:1"):
        await existing_topics(Settings(bootstrap_servers="127.0.0.1:1"))


@pytest.mark.full_broker
async def test_frozen_broker_is_a_publish_error_and_then_forgotten(
    topics: Topics, restartable_kafka: KafkaServer
) -> None:
    """A broker that does not answer costs at most the timeout; when it answers again everything arrives in order."""
    await topics.create()
    settings = settings_of(topics, publish_timeout_seconds=1.0)
    batch = [message(f"e{number}", topic=topics.status, key=b"k", value=str(number).encode()) for number in range(5)]
    async with KafkaPublisher(settings, CapturedLog().log) as publisher:
        assert await publisher.publish([message("0", topic=topics.status, key=b"k", value=b"first")]) == [None]
        restartable_kafka.pause()
        try:
            async with asyncio.timeout(6):
                outcomes = await publisher.publish(batch)
        finally:
            restartable_kafka.resume()
        assert all(isinstance(outcome, PublishError) for outcome in outcomes)
        async with asyncio.timeout(20):
            while any(outcomes := await publisher.publish(batch)):
                pass
    values = [one.value for one in await consume(topics, topics.status, 6)]
    assert list(dict.fromkeys(values)) == [b"first", *(str(number).encode() for number in range(5))]
