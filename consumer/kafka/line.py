"""One idempotent producer as a line on which nothing overtakes, and what became of what was sent on it."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Any, Final

from aiokafka.errors import (
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    RecordTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from consumer.errors import PublishError, RecordRefusedError
from consumer.kafka.closing import close_producer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from consumer.kafka.missing import MissingTopics
    from consumer.outbound import OutboxMessage

REPLY_METADATA_SECONDS: Final = 3.0  # a NestJS client may name a reply topic that does not exist, or not yet
LOOK_SECONDS: Final = 0.2
_FINAL: Final = (MessageSizeTooLargeError, RecordTooLargeError, RecordListTooLargeError, InvalidTopicError)
_FINAL_ON_REPLIES: Final = (UnknownTopicOrPartitionError, TopicAuthorizationFailedError, AssertionError)

Outcome = Exception | None


class KafkaLine:
    """``consumer.ports.Line``. Owns its producer, which has been started.

    The producer sends one batch of a partition at a time, and numbers them: after one that failed the broker takes no
    later one. What was never handed to the producer has no number, so the line breaks there and takes nothing more.

    Args:
        producer: Of aiokafka, idempotent.
        own_topics: What is not one of them is a client's reply topic, which may be missing.
        missing: Reply topics that were not there lately.
        seconds: For the acknowledgement of what is sent.
    """

    def __init__(self, producer: Any, own_topics: AbstractSet[str], missing: MissingTopics, seconds: float) -> None:
        self._producer = producer
        self._own_topics = own_topics
        self._missing = missing
        self._seconds = seconds
        self._sent: deque[Sent] = deque()
        self.broken = False

    async def send(self, messages: Sequence[OutboxMessage]) -> Sent:
        """Hand messages to the producer: each topic's in order, behind all before them, the topics side by side.

        Nothing waits longer than the publish timeout: aiokafka's idempotent producer would wait for ever.
        """
        sent = Sent(messages, asyncio.get_running_loop().time() + self._seconds)
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
        for sent in self._sent:
            sent.give_up()

    async def _send_topic(self, topic: str, positions: Sequence[int], sent: Sent) -> None:
        own = topic in self._own_topics
        unknown = PublishError(f"not acknowledged by the broker in time on {topic}")
        for position in positions:  # whatever happens next, nothing unacknowledged counts as sent
            sent.outcomes[position] = unknown
        try:
            async with asyncio.timeout_at(sent.deadline):
                if not own:
                    await self._know_topic(topic)
                for position in positions:
                    if self.broken:
                        return
                    try:
                        sent.await_future(position, await self._send(sent.messages[position]), own=own)
                    except (KafkaError, AssertionError) as error:
                        outcome = _outcome(error, own=own)
                        sent.outcomes[position] = outcome
                        self.broken |= isinstance(outcome, PublishError)
        except TimeoutError:
            self.broken = True
        except RecordRefusedError as error:
            for position in positions:
                sent.outcomes[position] = error

    async def _send(self, message: OutboxMessage) -> asyncio.Future[object]:
        future: asyncio.Future[object] = await self._producer.send(
            message.topic,
            value=message.value,
            key=message.key,
            partition=message.partition,
            headers=list(message.headers),
        )
        return future

    async def _know_topic(self, topic: str) -> None:
        """See that a reply topic is there; wait a moment for a new one, and the less, the more were missing lately.

        Raises:
            RecordRefusedError: The broker says that there is none.
            TimeoutError: The broker says nothing.
        """
        client = self._producer.client
        if client.cluster.partitions_for_topic(topic) is not None:
            return
        if topic in self._missing:
            raise RecordRefusedError(f"reply topic {topic!r} was not there a moment ago")
        answered = False
        try:
            async with asyncio.timeout(REPLY_METADATA_SECONDS / (1 + len(self._missing))):
                # All topics, because aiokafka would go on asking for ever for one that it was asked for by name.
                while topic not in (await client.fetch_all_metadata()).topics():
                    answered = True
                    await asyncio.sleep(LOOK_SECONDS)
                answered = False
                await self._producer.partitions_for(topic)
        except (KafkaError, TimeoutError) as error:
            if not answered:
                raise TimeoutError from error
            self._missing.add(topic)
            raise RecordRefusedError(f"reply topic {topic!r} is not there") from error


class Sent:
    """``consumer.ports.Receipt``: until something else is known, nothing counts as acknowledged."""

    def __init__(self, messages: Sequence[OutboxMessage], deadline: float) -> None:
        self.messages = messages
        self.deadline = deadline
        self.outcomes: list[Outcome] = [None] * len(messages)
        self._waiting: list[tuple[int, asyncio.Future[object], bool]] = []

    def await_future(self, position: int, future: asyncio.Future[object], *, own: bool) -> None:
        """Take the outcome of a message from its future."""
        future.add_done_callback(_look_at)  # one that is given up must not be told as forgotten when it fails later
        self._waiting.append((position, future, own))

    @property
    def complete(self) -> bool:
        """Whether every outcome is there without waiting."""
        return all(future.done() for _, future, _ in reversed(self._waiting))

    def give_up(self) -> None:
        """Nothing will be acknowledged any more."""
        for _, future, _ in self._waiting:
            future.cancel()

    async def wait(self) -> list[Outcome]:
        """The outcome of each message; what the broker has not said by the deadline stays unknown."""
        try:
            async with asyncio.timeout_at(self.deadline):
                for position, future, own in self._waiting:
                    self.outcomes[position] = await _acknowledged(future, own=own)
        except TimeoutError:
            pass
        return self.outcomes


def _look_at(future: asyncio.Future[object]) -> None:
    if not future.cancelled():
        future.exception()


async def _acknowledged(future: asyncio.Future[object], *, own: bool) -> Outcome:
    if not future.done():
        await asyncio.wait((future,))
    if future.cancelled():
        return PublishError("not acknowledged by the broker before the producer was given up")
    error = future.exception()
    if error is None:
        return None
    if not isinstance(error, KafkaError):
        raise error
    return _outcome(error, own=own)


def _outcome(error: Exception, *, own: bool) -> Outcome:
    reason = f"{type(error).__name__}: {error}"
    if isinstance(error, _FINAL) or (not own and isinstance(error, _FINAL_ON_REPLIES)):
        return RecordRefusedError(reason)
    return PublishError(reason)
