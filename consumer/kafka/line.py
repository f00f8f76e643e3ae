"""One idempotent producer as a line on which nothing overtakes."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Any

from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from consumer.errors import PublishError, RecordRefusedError
from consumer.kafka.answers import Answer, Unproven
from consumer.kafka.batches import Filling
from consumer.kafka.closing import close_producer
from consumer.kafka.partitioning import partition_of
from consumer.kafka.receipt import HandedOver, Sent, outcome_of, takes_nothing
from consumer.kafka.reply_topics import ReplyTopics

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from consumer.kafka.batches import Batch, BatchLimits
    from consumer.kafka.missing import MissingTopics
    from consumer.outbound import OutboxMessage


class KafkaLine:
    """``consumer.ports.relay.Line``. Owns its producer, which has been started.

    The producer sends one batch of a partition at a time, and numbers them: after one that failed the broker takes no
    later one, if it has taken any of this producer before. What was never handed to the producer has no number, so the
    line breaks there and takes nothing more. Behind a batch that may be refused for its size nothing is handed over
    until the broker has answered; behind replies neither, for a client's partition may leave them without an answer for
    ever, and must not fill the producer that everybody's events go through.

    Args:
        producer: Of aiokafka, idempotent.
        own_topics: What is not one of them is a client's reply topic, which may be missing.
        missing: Reply topics that were not there lately.
        limits: How large batches may be.
        seconds: For the acknowledgement of what is sent.
    """

    def __init__(
        self, producer: Any, own_topics: AbstractSet[str], missing: MissingTopics, limits: BatchLimits, seconds: float
    ) -> None:
        self._producer = producer
        self._own_topics = own_topics
        self._replies = ReplyTopics(producer, missing)
        self._limits = limits
        self._seconds = seconds
        self._sent: deque[Sent] = deque()
        self._handing_over: set[asyncio.Timeout] = set()
        self._unproven = Unproven(seconds)
        self.broken = False

    async def send(self, messages: Sequence[OutboxMessage]) -> Sent:
        """Hand messages to the producer: each topic's in order, behind all before them, the topics side by side.

        Nothing waits longer than the publish timeout: aiokafka's idempotent producer would wait for ever.
        """
        deadline = asyncio.get_running_loop().time() + self._seconds
        sent = Sent(messages, deadline, self._limits, self._replies.broker_answers)
        while self._sent and self._sent[0].complete:
            self._sent.popleft()
        self._sent.append(sent)
        by_topic: defaultdict[str, list[int]] = defaultdict(list)
        for position, message in enumerate(messages):
            by_topic[message.topic].append(position)
        await asyncio.gather(*(self._send_topic(topic, rows, sent) for topic, rows in by_topic.items()))
        return sent

    async def close(self) -> None:
        """Throw the producer away; what it has not sent fails, and readers drop what arrives twice."""
        self.broken = True
        await close_producer(self._producer)
        for limit in self._handing_over:  # who waits for room would wait to the end of its time
            if not limit.expired():
                limit.reschedule(0)
        for sent in self._sent:
            sent.give_up()

    async def _send_topic(self, topic: str, positions: Sequence[int], sent: Sent) -> None:
        own = topic in self._own_topics
        # Whatever happens next, nothing unacknowledged counts as sent.
        sent.settle(positions, PublishError(f"not acknowledged by the broker in time on {topic}"))
        limit = asyncio.timeout_at(sent.deadline)
        try:
            async with limit:
                self._handing_over.add(limit)
                leaderless = frozenset[int]() if own else await self._replies.look_at(topic)
                partitions = sorted(await self._producer.partitions_for(topic))
                for batch in self._fill(topic, partitions, leaderless, positions, sent):
                    if self.broken:
                        return
                    await self._send_batch(topic, batch, sent, own=own)
        except TimeoutError:
            self.broken = True
        except KafkaError as error:
            self._failed(positions, error, sent, own=own)
        except RecordRefusedError as error:
            sent.settle(positions, error)
        finally:
            self._handing_over.discard(limit)

    def _fill(
        self,
        topic: str,
        partitions: Sequence[int],
        leaderless: AbstractSet[int],
        positions: Sequence[int],
        sent: Sent,
    ) -> Iterator[Batch]:
        """The batches of a topic; what cannot be in one is refused, and nothing else."""
        filling = Filling(self._producer.create_batch, self._limits.of(topic))
        for position in positions:
            message = sent.messages[position]
            partition = message.partition
            if partition is None:
                partition = partition_of(message.key, message.event_id, partitions)
            elif partition not in partitions:
                sent.settle((position,), RecordRefusedError(f"{topic} has no partition {partition}"))
                continue
            if partition in leaderless:
                sent.settle((position,), RecordRefusedError(f"partition {partition} of {topic} has no leader"))
                continue
            try:
                filling.add(position, partition, message)
            except (MessageSizeTooLargeError, TypeError, ValueError) as error:
                sent.settle((position,), RecordRefusedError(f"{type(error).__name__}: {error}"))
        return filling.batches()

    async def _send_batch(self, topic: str, batch: Batch, sent: Sent, *, own: bool) -> None:
        before = self._unproven.before(topic, batch.partition)
        if before is not None and not (await before.came() and before.taken):
            silent = not own and not before.future.done()
            if silent and await self._replies.broker_answers():
                sent.settle(batch.positions, takes_nothing(topic, batch))
            else:
                self.broken = True
            return
        batch.builder.close()
        try:
            future = await self._producer.send_batch(batch.builder, topic, partition=batch.partition)
        except (KafkaError, AssertionError) as error:
            self._failed(batch.positions, error, sent, own=own)
        else:
            answer = Answer(future, sent.deadline if own else min(sent.deadline, self._unproven.patience()))
            sent.await_batch(HandedOver(topic, batch, answer, own))
            if not own or self._limits.may_be_refused(topic, batch):
                self._unproven.add(topic, batch.partition, answer)

    def _failed(self, positions: Sequence[int], error: Exception, sent: Sent, *, own: bool) -> None:
        outcome = outcome_of(error, own=own)
        sent.settle(positions, outcome)
        self.broken |= isinstance(outcome, PublishError)
