"""Publishing messages: lines to the broker, each replaced by a new one when its state is in doubt."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from consumer.clock import SystemClock
from consumer.errors import PublishError
from consumer.kafka.batches import BATCH_BYTES, MAX_REQUEST_BYTES, BatchLimits
from consumer.kafka.closing import close_producer
from consumer.kafka.connection import connection_arguments
from consumer.kafka.line import KafkaLine
from consumer.kafka.missing import MissingTopics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from structlog.typing import FilteringBoundLogger

    from consumer.clock import Clock
    from consumer.outbound import OutboxMessage
    from consumer.settings import Settings


class KafkaPublisher:
    """``consumer.ports.relay.Publisher``. Use ``async with``; whatever is published first connects."""

    def __init__(self, settings: Settings, log: FilteringBoundLogger, clock: Clock | None = None) -> None:
        self._settings = settings
        self._log = log
        self._missing = MissingTopics(clock or SystemClock())
        self._limits = BatchLimits()
        self._own_topics = {settings.topic_status, settings.topic_step_log, settings.topic_dlq}
        self._own_topics |= set(settings.command_topics.values())
        self._line: KafkaLine | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._line is not None:
            await self._line.close()

    async def line(self) -> KafkaLine:
        """The present line, or a new one in place of one that is broken, whose unknown outcomes its user has seen.

        Raises:
            PublishError: There is no broker.
        """
        if self._line is not None and self._line.broken:
            line, self._line = self._line, None
            await line.close()
        if self._line is None:
            self._line = await self._connect()
        return self._line

    async def publish(self, messages: Sequence[OutboxMessage]) -> list[Exception | None]:
        """Send on the present line and wait for every acknowledgement; the next call has a new line if one is unknown.

        For callers that send one after the other: what another task sends meanwhile may overtake what fails here.
        """
        try:
            line = await self.line()
        except PublishError as error:
            return [error] * len(messages)
        outcomes = await (await line.send(messages)).wait()
        unknown = sum(isinstance(outcome, PublishError) for outcome in outcomes)
        if unknown:
            self._log.warning("producer_given_up", unacknowledged=unknown)
            await line.close()
        return outcomes

    async def _connect(self) -> KafkaLine:
        settings = self._settings
        producer = AIOKafkaProducer(
            **connection_arguments(settings),
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=BATCH_BYTES,
            max_request_size=MAX_REQUEST_BYTES,
            request_timeout_ms=int(settings.publish_timeout_seconds * 1000),
        )
        try:
            async with asyncio.timeout(settings.publish_timeout_seconds):
                await producer.start()
        except BaseException as error:
            await close_producer(producer)
            if isinstance(error, (KafkaError, TimeoutError, OSError)):
                message = f"no broker at {settings.bootstrap_servers}: {type(error).__name__}"
                raise PublishError(message) from error
            raise
        seconds = settings.publish_timeout_seconds
        return KafkaLine(producer, self._own_topics, self._missing, self._limits, seconds)
