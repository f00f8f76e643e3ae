from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError, MessageSizeTooLargeError
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.producer.message_accumulator import BatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from consumer.errors import PublishError, RecordRefusedError
from consumer.kafka import reply_topics as module
from consumer.kafka.answers import Answer, Unproven
from consumer.kafka.batches import BATCH_BYTES, MAX_REQUEST_BYTES
from consumer.kafka.line import KafkaLine
from consumer.kafka.missing import MOST, REMEMBER_SECONDS, MissingTopics
from consumer.kafka.partitioning import partition_of
from consumer.kafka.publisher import KafkaPublisher
from consumer.settings import Settings
from tests.builders import message
from tests.fakes import CapturedLog, ManualClock

if TYPE_CHECKING:
    from consumer.outbound import OutboxMessage

REPLY = "web.reply"
STATUS = Settings().topic_status


class FakeProducer:
    """Knows some topics, takes everything, and counts how often it was asked for all of them."""

    def __init__(self, *topics: str) -> None:
        self.topics = set(topics)
        self.known: set[str] = set()
        self.asked = 0
        self.sent: list[str] = []
        self.away = self.full = False
        self.waiting: list[asyncio.Future[object]] | None = None
        self.late: set[str] = set()  # topics whose batches get no answer
        self.held: list[asyncio.Future[object]] = []
        self.appears: str | None = None
        self.leader, self.next_leader = 1, 1  # as the client knows it, and as the cluster would say now
        self.elected_after = 0  # answers in which it still has the old one
        self.takes_at_most: int | None = None  # bytes of a batch
        self.waits, self.room = asyncio.Event(), asyncio.Event()
        self.room.set()
        self.client = SimpleNamespace(
            cluster=SimpleNamespace(
                partitions_for_topic=lambda topic: {0} if topic in self.known else None,
                leader_for_partition=lambda _: self.leader,
            ),
            force_metadata_update=self._update,
            fetch_all_metadata=self._fetch,
            close=_nothing,
        )
        self._sender = SimpleNamespace(close=_nothing)

    async def _fetch(self) -> Any:
        if self.away:
            raise KafkaConnectionError
        self.asked += 1
        there = set(self.topics)
        if self.appears is not None:
            self.topics.add(self.appears)
        return SimpleNamespace(topics=lambda: there)

    async def _update(self) -> bool:
        if self.away:
            return False
        self.asked += 1
        if self.asked >= self.elected_after:
            self.leader = self.next_leader
        return True

    async def partitions_for(self, topic: str) -> set[int]:
        self.known.add(topic)
        return {0}

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(BATCH_BYTES, 0)

    async def send_batch(self, batch: BatchBuilder, topic: str, *, partition: int) -> asyncio.Future[object]:
        assert (batch.closed(), partition) == (True, 0)
        self.waits.set()
        await self.room.wait()
        if self.full:
            self.full = False
            raise KafkaTimeoutError
        self.sent += [topic] * batch.record_count()
        done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        if topic in self.late:
            self.held.append(done)
        elif self.waiting is not None:
            self.waiting.append(done)
        elif self.takes_at_most is not None and batch.size() > self.takes_at_most:
            done.set_exception(MessageSizeTooLargeError())
        else:
            done.set_result(None)
        return done


async def _nothing() -> None:
    return


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REPLY_METADATA_SECONDS", 0.05)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)


def publishing(producer: FakeProducer, clock: ManualClock | None = None) -> KafkaPublisher:
    made = KafkaPublisher(Settings(), CapturedLog().log, clock or ManualClock())
    made._line = line_of(made, producer)
    return made


def line_of(publisher: KafkaPublisher, producer: FakeProducer, seconds: float = 10.0) -> KafkaLine:
    return KafkaLine(producer, publisher._own_topics, publisher._missing, publisher._limits, seconds)


async def reply(publisher: KafkaPublisher, topic: str = REPLY) -> Exception | None:
    (outcome,) = await publisher.publish([message("e", topic=topic)])
    return outcome


async def test_reply_topic_is_looked_up_once() -> None:
    """A reply topic that is there is found at once, and not looked for again."""
    producer = FakeProducer(REPLY)
    publisher = publishing(producer)
    assert [await reply(publisher), await reply(publisher)] == [None, None]
    assert (producer.asked, producer.sent) == (1, [REPLY, REPLY])


async def test_new_reply_topic_is_waited_for() -> None:
    """A topic that its client has just created may be known to the broker a moment later."""
    producer = FakeProducer()
    producer.appears = REPLY
    assert await reply(publishing(producer)) is None
    assert producer.asked == 2


async def test_missing_reply_topic_costs_its_patience_once() -> None:
    """A topic that is not there is refused, and again without any look for a while; then it is looked for again."""
    producer, clock = FakeProducer(), ManualClock()
    publisher = publishing(producer, clock)
    first = await reply(publisher)
    assert isinstance(first, RecordRefusedError)
    assert REPLY in str(first)
    asked = producer.asked
    assert asked > 1
    assert isinstance(await reply(publisher), RecordRefusedError)
    assert producer.asked == asked
    clock.seconds = REMEMBER_SECONDS
    producer.topics.add(REPLY)
    assert await reply(publisher) is None


async def test_reply_partition_without_a_leader_costs_only_its_replies() -> None:
    """They are refused, after a moment for an election, and not asked again for a while."""
    producer = FakeProducer(REPLY)
    publisher = publishing(producer)
    assert await reply(publisher) is None
    producer.leader = producer.next_leader = -1
    assert "partition 0 of web.reply has no leader" in str(await reply(publisher))
    asked = producer.asked
    assert "partition 0 of web.reply has no leader" in str(await reply(publisher))
    assert (producer.asked, producer.sent) == (asked, [REPLY])
    assert publisher._line is not None
    assert not publisher._line.broken


async def test_reply_partition_that_has_a_leader_again_is_sent_to() -> None:
    """What the client knew was old, or an election was under way."""
    producer = FakeProducer(REPLY)
    producer.leader, producer.elected_after = -1, 3
    assert await reply(publishing(producer)) is None


async def test_reply_partition_without_a_leader_is_unknown_while_no_broker_answers() -> None:
    """What the client knew last is no word of the broker: the reply stays, and is sent when the broker is back."""
    producer = FakeProducer(REPLY)
    publisher = publishing(producer)
    assert await reply(publisher) is None
    producer.leader, producer.away = -1, True
    assert isinstance(await reply(publisher), PublishError)


def stuck(*late: str) -> tuple[FakeProducer, KafkaLine]:
    """A line with little patience whose producer holds back what goes to some topics."""
    producer = FakeProducer(REPLY)
    producer.late = set(late)
    return producer, line_of(publishing(producer), producer, seconds=0.05)


async def outcomes_of(line: KafkaLine, *topics: str) -> list[type]:
    receipt = await line.send([message(str(number), topic=topic) for number, topic in enumerate(topics)])
    async with asyncio.timeout(5):
        outcomes = await receipt.wait()
    assert receipt.complete
    return [type(outcome) for outcome in outcomes]


async def test_reply_partition_that_takes_nothing_costs_only_its_replies() -> None:
    """They are refused once the time for an answer is over, later ones without being handed over; the line goes on."""
    producer, line = stuck(REPLY)
    assert await outcomes_of(line, REPLY, STATUS) == [RecordRefusedError, type(None)]
    assert await outcomes_of(line, STATUS, REPLY) == [type(None), RecordRefusedError]
    assert (producer.sent, line.broken) == ([REPLY, STATUS, STATUS], False)


async def test_reply_partition_that_takes_again_is_sent_to() -> None:
    """Its late answer opens the way for what comes next."""
    producer, line = stuck(REPLY)
    assert await outcomes_of(line, REPLY) == [RecordRefusedError]
    producer.late.clear()
    producer.held[0].set_result(None)
    assert await outcomes_of(line, REPLY) == [type(None)]


async def test_replies_are_unknown_while_no_broker_answers() -> None:
    """Nobody is heard, so no topic is to blame: what is unknown is sent again on another line."""
    producer, line = stuck(REPLY)
    producer.away = True
    producer.known.add(REPLY)
    assert await outcomes_of(line, REPLY) == [PublishError]
    assert await outcomes_of(line, REPLY) == [PublishError]
    assert line.broken


async def test_replies_are_unknown_while_own_topics_get_no_answer() -> None:
    """Where the service's own events are late as well, it is not the client's topic."""
    _, line = stuck(REPLY, STATUS)
    assert await outcomes_of(line, REPLY, STATUS) == [PublishError, PublishError]


async def test_refused_reply_fails_whoever_comes_behind_it() -> None:
    """A broker that refuses a batch after all leaves a producer whose numbers have a gap: the line ends there."""
    producer, line = stuck(REPLY)
    assert await outcomes_of(line, REPLY) == [RecordRefusedError]
    producer.held[0].set_exception(MessageSizeTooLargeError())
    assert await outcomes_of(line, REPLY) == [PublishError]
    assert line.broken


async def test_answers_are_waited_for_the_less_the_more_are_late() -> None:
    """A client with many partitions that take nothing does not hold up the others for each of them anew."""
    unproven, loop = Unproven(10.0), asyncio.get_running_loop()
    for partition in range(9):
        unproven.add(REPLY, partition, Answer(loop.create_future(), loop.time()))
    assert unproven.patience() - loop.time() == pytest.approx(1.0, abs=0.1)


async def test_what_the_broker_took_is_not_kept() -> None:
    """However many partitions clients name, only those are remembered whose answers are due, or were a no."""
    unproven, loop = Unproven(10.0), asyncio.get_running_loop()
    answers = [Answer(loop.create_future(), loop.time() + 10) for _ in range(3)]
    for partition, answer in enumerate(answers):
        unproven.add(REPLY, partition, answer)
    answers[0].future.set_result(None)
    answers[1].future.set_exception(MessageSizeTooLargeError())
    await turns()
    assert (len(unproven), unproven.before(REPLY, 0)) == (2, None)


async def test_patience_shrinks_with_every_name_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that names another topic each time cannot hold up the others each time."""
    monkeypatch.setattr(module, "REPLY_METADATA_SECONDS", 2.0)
    publisher = publishing(FakeProducer())
    for number in range(99):
        publisher._missing.add(f"{number}.reply")
    async with asyncio.timeout(1):
        assert isinstance(await reply(publisher), RecordRefusedError)


async def test_missing_reply_topic_holds_up_no_own_topic() -> None:
    """What goes elsewhere in the same round is sent."""
    producer = FakeProducer()
    publisher = publishing(producer)
    outcomes = await publisher.publish([message("a", topic=REPLY), message("b", topic=Settings().topic_status)])
    assert isinstance(outcomes[0], RecordRefusedError)
    assert (outcomes[1], producer.sent) == (None, [Settings().topic_status])


async def test_line_takes_nothing_after_a_message_that_could_not_be_handed_over() -> None:
    """A producer that has no room for one message and then for the next would turn their order round."""
    producer, status = FakeProducer(), Settings().topic_status
    publisher = publishing(producer)
    line = await publisher.line()
    producer.full = True
    first = await (await line.send([message("a", topic=status), message("b", topic=status)])).wait()
    second = await (await line.send([message("c", topic=status)])).wait()
    assert [type(outcome) for outcome in (*first, *second)] == [PublishError] * 3
    assert (producer.sent, line.broken) == ([], True)


async def test_closing_a_line_completes_its_receipts() -> None:
    """Whoever waits for an acknowledgement is not left to its deadline: what has come counts, the rest is unknown."""
    producer, status = FakeProducer(), Settings().topic_status
    producer.waiting = []
    line = await publishing(producer).line()
    first = await line.send([message("a", topic=status)])
    second = await line.send([message("b", topic=status), message("c", topic=status)])
    producer.waiting[0].set_result(None)
    assert (first.complete, second.complete) == (True, False)
    await line.close()
    assert second.complete
    assert await first.wait() == [None]
    assert [type(outcome) for outcome in await second.wait()] == [PublishError] * 2


async def test_broker_that_is_away_says_nothing_of_a_topic() -> None:
    """Without an answer nothing is refused for good, and nothing is remembered."""
    producer = FakeProducer()
    producer.away = True
    publisher = publishing(producer)
    assert isinstance(await reply(publisher), PublishError)
    assert len(publisher._missing) == 0


def test_memory_of_missing_topics_is_bounded() -> None:
    """The oldest names are forgotten when there are too many, and all of them after their time."""
    clock = ManualClock()
    missing = MissingTopics(clock)
    for number in range(MOST + 5):
        missing.add(str(number))
    assert (len(missing), "4" in missing, "5" in missing) == (MOST, False, True)
    missing.add("5")
    clock.seconds = REMEMBER_SECONDS - 1
    missing.add("6")
    clock.seconds = REMEMBER_SECONDS
    assert (len(missing), "6" in missing, "5" in missing) == (1, True, False)


async def test_closing_a_line_ends_what_waits_for_room() -> None:
    """A batch behind one that nobody will take any more does not hold up the next line until its own time is over."""
    producer, status = FakeProducer(), Settings().topic_status
    producer.room.clear()
    line = await publishing(producer).line()
    sending = asyncio.create_task(line.send([message("a", topic=status)]))
    await producer.waits.wait()
    await line.close()
    async with asyncio.timeout(2):
        receipt = await sending
    assert (receipt.complete, [type(outcome) for outcome in await receipt.wait()]) == (True, [PublishError])
    assert producer.sent == []


async def test_messages_of_a_partition_go_as_one_batch() -> None:
    """The producer is handed one batch and keeps one future, however many messages are in it."""
    producer, status = FakeProducer(), Settings().topic_status
    producer.waiting = []
    line = await publishing(producer).line()
    receipt = await line.send([message(str(number), topic=status) for number in range(500)])
    assert (len(producer.sent), len(producer.waiting)) == (500, 1)
    producer.waiting[0].set_result(None)
    assert await receipt.wait() == [None] * 500


async def test_batch_that_is_too_large_is_narrowed_down_to_the_message_that_is() -> None:
    """A topic may take less than a batch has: smaller ones follow until only what is itself too large is refused."""
    producer, status = FakeProducer(), Settings().topic_status
    producer.takes_at_most = 5_000
    publisher = publishing(producer)
    sizes = dict.fromkeys("abcdef", 900) | {"big": 6_000}
    left = [message(name, topic=status, value=b"x" * sizes[name]) for name in ("a", "b", "c", "big", "d", "e", "f")]
    known: dict[str, Exception | None] = {}
    for _ in range(10):
        for one, outcome in zip(left, await publisher.publish(left), strict=True):
            if not isinstance(outcome, PublishError):
                known[one.event_id] = outcome
        left = [one for one in left if one.event_id not in known]
        if not left:
            break
        publisher._line = line_of(publisher, producer)
    assert isinstance(known.pop("big"), RecordRefusedError)
    assert known == dict.fromkeys("abcdef")


async def test_nothing_is_sent_behind_a_batch_that_may_be_too_large() -> None:
    """A fresh producer's next batch would be taken although the one before it was refused: it waits for the answer."""
    producer, status = FakeProducer(), Settings().topic_status
    producer.waiting = []
    line = line_of(publishing(producer), producer)
    first = await line.send([message("a", topic=status), message("b", topic=status)])
    behind = asyncio.create_task(line.send([message("c", topic=status)]))
    await turns()
    assert producer.sent == [status] * 2
    producer.waiting[0].set_exception(MessageSizeTooLargeError())
    outcomes = [*await first.wait(), *await (await behind).wait()]
    assert [type(outcome) for outcome in outcomes] == [PublishError] * 3
    assert producer.sent == [status] * 2


async def test_a_topic_that_took_a_batch_takes_the_next_without_waiting() -> None:
    """Only a batch larger than any that the topic has taken holds up what follows."""
    producer, status = FakeProducer(), Settings().topic_status
    line = line_of(publishing(producer), producer)
    await (await line.send([message("a", topic=status), message("b", topic=status)])).wait()
    producer.waiting = []
    for names in ("cd", "ef"):
        await line.send([message(name, topic=status) for name in names])
    assert producer.sent == [status] * 6


async def turns() -> None:
    """Let everything that can go on go on."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "bad",
    [
        message("bad", headers=(("\udcff", b""),)),
        message("bad", value=b"x" * (MAX_REQUEST_BYTES + 1)),
        message("bad", partition=7),
    ],
    ids=["header that is no UTF-8", "larger than a request", "no such partition"],
)
async def test_message_that_fits_no_batch_is_refused_alone(bad: OutboxMessage) -> None:
    """What cannot be written as a record is final for itself; those around it pass."""
    producer, status = FakeProducer(), Settings().topic_status
    around = [message("a", topic=status), message("b", topic=status)]
    outcomes = await publishing(producer).publish([around[0], bad._replace(topic=status), around[1]])
    assert [type(outcome) for outcome in outcomes] == [type(None), RecordRefusedError, type(None)]
    assert producer.sent == [status] * 2


@given(st.binary(max_size=60), st.integers(1, 50))
def test_keys_go_where_every_client_sends_them(key: bytes, count: int) -> None:
    """A key's partition is the default one of Kafka's clients."""
    partitions = list(range(count))
    assert partition_of(key, "any", partitions) == DefaultPartitioner()(key, partitions, partitions)


@given(st.text(max_size=60), st.integers(1, 50))
def test_message_without_a_key_goes_to_the_same_partition_again(name: str, count: int) -> None:
    """Its name decides, so that a duplicate is where the first one was."""
    partitions = list(range(count))
    assert partition_of(None, name, partitions) == partition_of(None, name, partitions)
    assert partition_of(None, name, partitions) in partitions


def test_messages_without_a_key_are_spread() -> None:
    """Dead letters of records without a key do not all end in one partition."""
    assert {partition_of(None, f"forecast.train/0/{offset}/5:rejected:dlq", range(6)) for offset in range(100)} == {
        *range(6)
    }
