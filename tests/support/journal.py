"""What stands on the reply topics, read from offset 0: every message, and when enough of them have come."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from aiokafka import AIOKafkaConsumer

from schemas.enums import EventType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

POLL_MS = 500


@dataclass(frozen=True)
class Message:
    """A record of a reply topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]

    @cached_property
    def attributes(self) -> dict[str, str]:
        """Headers as text; the last of each name, as the service appends its own to those of a dead letter."""
        return {name: value.decode(errors="replace") for name, value in self.headers if value is not None}

    @cached_property
    def data(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.value or b"{}")
        return parsed

    @property
    def event_id(self) -> str:
        return self.attributes.get("ce_id", "")

    @property
    def content(self) -> tuple[object, ...]:
        """What must be the same of a message that was sent twice."""
        return self.topic, self.partition, self.key, self.value, self.headers


@dataclass(slots=True)
class Journal:
    """The messages of some topics in the order of each partition, kept as they come."""

    messages: list[Message] = field(default_factory=list)
    ended: dict[str, Message] = field(default_factory=dict)
    rejected: dict[str, Message] = field(default_factory=dict)
    _by_topic: defaultdict[str, list[Message]] = field(default_factory=lambda: defaultdict(list))

    def add(self, message: Message) -> None:
        self.messages.append(message)
        self._by_topic[message.topic].append(message)
        kind = message.attributes.get("ce_type")
        if kind == EventType.COMMAND_REJECTED:
            self.rejected.setdefault(message.event_id, message)
        elif kind == EventType.STATUS and message.data["terminal"]:
            self.ended.setdefault(message.data["execucao_id"], message)

    def on(self, topic: str) -> list[Message]:
        return self._by_topic[topic]

    def first_occurrences(self, topic: str) -> Iterator[Message]:
        """What a reader who drops duplicates by ``ce_id`` sees."""
        seen: set[str] = set()
        for message in self.on(topic):
            if message.event_id not in seen:
                seen.add(message.event_id)
                yield message

    def of_execution(self, topic: str, execucao_id: str) -> list[dict[str, Any]]:
        """The events of one execution on a topic, each once, in order; rejections are none."""
        events = (message.data for message in self.first_occurrences(topic) if message.value is not None)
        return [data for data in events if data.get("execucao_id") == execucao_id and "sequence" in data]


class Follower:
    """Reads all partitions of some topics without a group, from their beginning. Use ``async with``."""

    def __init__(self, bootstrap_servers: str, topics: Iterable[str]) -> None:
        self.journal = Journal()
        self._consumer = AIOKafkaConsumer(
            *topics,
            bootstrap_servers=bootstrap_servers,
            group_id=None,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            max_partition_fetch_bytes=8 * 1024 * 1024,
        )

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def until(self, enough: Callable[[Journal], object], what: str, within: float = 60.0) -> Journal:
        """Read until ``enough`` of the journal is true; fail after ``within`` seconds."""
        deadline = time.monotonic() + within
        while not enough(self.journal):
            assert time.monotonic() < deadline, f"no {what} within {within:g} s"
            await self._read(POLL_MS)
        return self.journal

    async def to_the_end(self) -> Journal:
        """Read what is there now."""
        ends = await self._consumer.end_offsets(self._consumer.assignment())
        for partition, end in ends.items():
            while await self._consumer.position(partition) < end:
                await self._read(POLL_MS)
        return self.journal

    async def _read(self, milliseconds: int) -> None:
        fetched = await self._consumer.getmany(timeout_ms=milliseconds)
        for records in fetched.values():
            for record in records:
                place = (record.topic, record.partition, record.offset)
                self.journal.add(Message(*place, record.key, record.value, tuple(record.headers)))
