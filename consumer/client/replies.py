"""Reading the reply topics without a group: every reader sees every event, each once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from consumer.client.events import read_event
from consumer.client.partitions import no_broker, partitions_of
from consumer.kafka.connection import connection_arguments
from schemas.events import UnreadableEventError
from schemas.records import RawRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from consumer.client.events import Event
    from consumer.settings import Settings

OPEN_SECONDS: Final = 15.0
STOP_SECONDS: Final = 3.0
POLL_SECONDS: Final = 0.5
MAX_REMEMBERED: Final = 200_000  # ids of events; the relay sends again within seconds, not after so many others


class ReplyReader:
    """Status, step-log and rejection events of all executions. Use ``async with``.

    Once it is open, whatever is published later will be read: its positions are fixed before that.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        from_beginning: bool = False,
        on_unreadable: Callable[[str], None] | None = None,
    ) -> None:
        """Prepare a reader.

        Args:
            settings: Where the cluster is and what the topics are called.
            from_beginning: Start with the oldest event that the topics hold, not with the next one.
            on_unreadable: Gets a line about each record that is no event; without it they are passed over.
        """
        self._settings = settings
        self._from_beginning = from_beginning
        self._on_unreadable = on_unreadable
        self._consumer: Any = None
        self._seen: dict[str, None] = {}

    async def __aenter__(self) -> Self:
        settings = self._settings
        topics = (settings.topic_status, settings.topic_step_log)
        found = await partitions_of(settings, topics)
        self._consumer = AIOKafkaConsumer(
            **connection_arguments(settings),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # should retention overtake us, go on with what is left
        )
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await self._position([TopicPartition(t, number) for t, numbers in found.items() for number in numbers])
        except BaseException as error:
            await self._stop()
            if isinstance(error, (KafkaError, TimeoutError, OSError)):
                raise no_broker(settings, error) from error
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    async def read(self) -> list[Event]:
        """Wait for events, at most half a second; none of them was given before.

        Raises:
            ClientError: The cluster refuses; while it is merely away there are no events.
        """
        try:
            fetched = await self._consumer.getmany(timeout_ms=int(POLL_SECONDS * 1000))
        except KafkaError as error:
            raise no_broker(self._settings, error) from error
        records = [record for batch in fetched.values() for record in batch]
        return [event for record in records if (event := self._new_event(record)) is not None]

    async def _position(self, partitions: list[TopicPartition]) -> None:
        self._consumer.assign(partitions)
        await self._consumer.start()
        ask = self._consumer.beginning_offsets if self._from_beginning else self._consumer.end_offsets
        for partition, offset in (await ask(partitions)).items():
            self._consumer.seek(partition, offset)

    def _new_event(self, record: Any) -> Event | None:
        headers = tuple(record.headers)
        raw = RawRecord(
            record.topic, record.partition, record.offset, record.timestamp, record.key, record.value, headers
        )
        try:
            event = read_event(raw)
        except UnreadableEventError as error:
            if self._on_unreadable is not None:
                self._on_unreadable(f"{record.topic}/{record.partition}/{record.offset} is no event: {error}")
            return None
        if event.id in self._seen:
            return None
        self._seen[event.id] = None
        if len(self._seen) > MAX_REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return event

    async def _stop(self) -> None:
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._consumer.stop()
        except (KafkaError, TimeoutError, OSError):
            pass  # nothing was to be committed: a reader that cannot say goodbye leaves nothing behind
