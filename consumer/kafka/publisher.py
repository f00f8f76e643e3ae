"""Publishing messages: an idempotent producer, replaced by a new one whenever its state is in doubt."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    RecordTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from consumer.clock import SystemClock
from consumer.errors import PublishError, RecordRefusedError
from consumer.kafka.closing import close_producer
from consumer.kafka.connection import connection_arguments
from consumer.kafka.missing import MissingTopics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from structlog.typing import FilteringBoundLogger

    from consumer.clock import Clock
    from consumer.outbound import OutboxMessage
    from consumer.settings import Settings

REPLY_METADATA_SECONDS: Final = 3.0  # a NestJS client may name a reply topic that does not exist, or not yet
LOOK_SECONDS: Final = 0.2
MAX_REQUEST_BYTES: Final = 32 * 1024 * 1024  # a dead letter is as large as the record was; the broker has the last word
_FINAL: Final = (MessageSizeTooLargeError, RecordTooLargeError, RecordListTooLargeError, InvalidTopicError)
_FINAL_ON_REPLIES: Final = (UnknownTopicOrPartitionError, TopicAuthorizationFailedError, AssertionError)

Outcome = Exception | None


class KafkaPublisher:
    """``consumer.ports.Publisher``. Use ``async with``; whatever is published first connects."""

    def __init__(self, settings: Settings, log: FilteringBoundLogger, clock: Clock | None = None) -> None:
        self._settings = settings
        self._log = log
        self._missing = MissingTopics(clock or SystemClock())
        self._producer: Any = None
        self._own_topics = {settings.topic_status, settings.topic_step_log, settings.topic_dlq}
        self._own_topics |= set(settings.command_topics.values())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._discard()

    async def publish(self, messages: Sequence[OutboxMessage]) -> list[Outcome]:
        """Send each topic's messages in order, the topics side by side, and wait for every acknowledgement.

        Nothing waits longer than the publish timeout: aiokafka's idempotent producer would wait for ever.
        """
        outcomes: list[Outcome] = [None] * len(messages)
        by_topic: defaultdict[str, list[int]] = defaultdict(list)
        for position, message in enumerate(messages):
            by_topic[message.topic].append(position)
        try:
            producer = await self._connected()
        except PublishError as error:
            return [error] * len(messages)
        await asyncio.gather(
            *(self._send_topic(producer, topic, rows, messages, outcomes) for topic, rows in by_topic.items())
        )
        unknown = sum(isinstance(outcome, PublishError) for outcome in outcomes)
        if unknown:
            self._log.warning("producer_given_up", unacknowledged=unknown)
            await self._discard()
        return outcomes

    async def _send_topic(
        self,
        producer: Any,
        topic: str,
        positions: Sequence[int],
        messages: Sequence[OutboxMessage],
        outcomes: list[Outcome],
    ) -> None:
        own = topic in self._own_topics
        for position in positions:  # whatever happens next, nothing unacknowledged counts as sent
            outcomes[position] = PublishError(f"not acknowledged by the broker in time on {topic}")
        sent: list[tuple[int, asyncio.Future[object]]] = []
        try:
            async with asyncio.timeout(self._settings.publish_timeout_seconds):
                if not own:
                    await self._know_topic(producer, topic)
                for position in positions:
                    try:
                        sent.append((position, await _send(producer, messages[position])))
                    except (KafkaError, AssertionError) as error:
                        outcomes[position] = _outcome(error, own=own)
                for position, future in sent:
                    outcomes[position] = await _acknowledged(future, own=own)
        except TimeoutError:
            return
        except RecordRefusedError as error:
            for position in positions:
                outcomes[position] = error

    async def _know_topic(self, producer: Any, topic: str) -> None:
        """See that a reply topic is there; wait a moment for a new one, and the less, the more were missing lately.

        Raises:
            RecordRefusedError: The broker says that there is none.
            TimeoutError: The broker says nothing.
        """
        if producer.client.cluster.partitions_for_topic(topic) is not None:
            return
        if topic in self._missing:
            raise RecordRefusedError(f"reply topic {topic!r} was not there a moment ago")
        answered = False
        try:
            async with asyncio.timeout(REPLY_METADATA_SECONDS / (1 + len(self._missing))):
                # All topics, because aiokafka would go on asking for ever for one that it was asked for by name.
                while topic not in (await producer.client.fetch_all_metadata()).topics():
                    answered = True
                    await asyncio.sleep(LOOK_SECONDS)
                answered = False
                await producer.partitions_for(topic)
        except (KafkaError, TimeoutError) as error:
            if not answered:
                raise TimeoutError from error
            self._missing.add(topic)
            raise RecordRefusedError(f"reply topic {topic!r} is not there") from error

    async def _connected(self) -> Any:
        if self._producer is None:
            producer = AIOKafkaProducer(
                **connection_arguments(self._settings),
                acks="all",
                enable_idempotence=True,
                linger_ms=0,
                max_batch_size=256 * 1024,
                max_request_size=MAX_REQUEST_BYTES,
                request_timeout_ms=int(self._settings.publish_timeout_seconds * 1000),
            )
            try:
                async with asyncio.timeout(self._settings.publish_timeout_seconds):
                    await producer.start()
            except BaseException as error:
                await close_producer(producer)
                if isinstance(error, (KafkaError, TimeoutError, OSError)):
                    message = f"no broker at {self._settings.bootstrap_servers}: {type(error).__name__}"
                    raise PublishError(message) from error
                raise
            self._producer = producer
        return self._producer

    async def _discard(self) -> None:
        """Throw the producer away; the next publish makes a new one, and readers drop what arrives twice."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await close_producer(producer)


async def _send(producer: Any, message: OutboxMessage) -> asyncio.Future[object]:
    future: asyncio.Future[object] = await producer.send(
        message.topic,
        value=message.value,
        key=message.key,
        partition=message.partition,
        headers=list(message.headers),
    )
    future.add_done_callback(_look_at)  # one that is given up must not be told as forgotten when it fails later
    return future


def _look_at(future: asyncio.Future[object]) -> None:
    if not future.cancelled():
        future.exception()


async def _acknowledged(future: asyncio.Future[object], *, own: bool) -> Outcome:
    try:
        await asyncio.shield(future)
    except KafkaError as error:
        return _outcome(error, own=own)
    return None


def _outcome(error: Exception, *, own: bool) -> Outcome:
    reason = f"{type(error).__name__}: {error}"
    if isinstance(error, _FINAL) or (not own and isinstance(error, _FINAL_ON_REPLIES)):
        return RecordRefusedError(reason)
    return PublishError(reason)
