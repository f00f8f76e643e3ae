"""Commands as producers send them: CloudEvents binary and structured, and plain JSON."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from aiokafka import AIOKafkaProducer

from tests.support.evidence import Sent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.support.topics import Topics

Kind = Literal["train", "predict", "backtest", "cancel"]
Headers = tuple[tuple[str, bytes], ...]
SOURCE = "/tests"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to be sent; ``good`` is what the service should think of it."""

    kind: Kind
    value: bytes | None
    headers: Headers = ()
    key: bytes | None = None
    partition: int | None = None
    good: bool = True
    source: str | None = None
    event_id: str | None = None

    def bad(self, **changes: Any) -> Outgoing:
        """The same, expected to be refused."""
        return replace(self, good=False, **changes)


def binary(kind: Kind, data: dict[str, Any], *extra: tuple[str, str], event_id: str | None = None) -> Outgoing:
    """CloudEvents binary mode: attributes in headers, the data in the value."""
    event_id = event_id or str(uuid.uuid4())
    attributes = {"specversion": "1.0", "id": event_id, "source": SOURCE, "type": f"forecast.{kind}"}
    headers = [(f"ce_{name}", text.encode()) for name, text in attributes.items()]
    headers += [("content-type", b"application/json"), *((name, text.encode()) for name, text in extra)]
    return Outgoing(kind, json.dumps(data).encode(), tuple(headers), source=SOURCE, event_id=event_id)


def structured(kind: Kind, data: dict[str, Any]) -> Outgoing:
    """CloudEvents structured mode: everything in the value."""
    event_id = str(uuid.uuid4())
    event = {"specversion": "1.0", "id": event_id, "source": SOURCE, "type": f"forecast.{kind}", "data": data}
    headers = (("content-type", b"application/cloudevents+json; charset=utf-8"),)
    return Outgoing(kind, json.dumps(event).encode(), headers, source=SOURCE, event_id=event_id)


def plain(kind: Kind, data: dict[str, Any]) -> Outgoing:
    """Bare JSON, as a hand-written producer sends it: identified by its position in the log."""
    return Outgoing(kind, json.dumps(data).encode())


async def produce(
    topics: Topics, commands: Iterable[Outgoing], *, compression: Literal["gzip"] | None = None
) -> list[Sent]:
    """Send in order and wait for every acknowledgement; gives where each record landed."""
    commands = list(commands)
    # Ours, because the client tells the timestamp of a batch for each of its records.
    now = int(time.time() * 1000)
    producer = AIOKafkaProducer(
        bootstrap_servers=topics.bootstrap_servers,
        acks="all",
        enable_idempotence=True,
        compression_type=compression,
        max_request_size=8 * 1024 * 1024,
        linger_ms=5,
    )
    async with producer:
        waiting = [await _send(producer, topics, command, now) for command in commands]
        landed: Sequence[Any] = await asyncio.wait_for(asyncio.gather(*waiting), 60)
    return [_sent(command, place, now) for command, place in zip(commands, landed, strict=True)]


async def send(producer: AIOKafkaProducer, topics: Topics, command: Outgoing) -> Sent:
    """Send one command by the caller's producer, and wait for its acknowledgement as long as it takes."""
    now = int(time.time() * 1000)
    return _sent(command, await (await _send(producer, topics, command, now)), now)


async def _send(
    producer: AIOKafkaProducer, topics: Topics, command: Outgoing, timestamp_ms: int
) -> asyncio.Future[Any]:
    # aiokafka refuses a record with neither key nor value.
    key = b"" if command.key is None and command.value is None else command.key
    future: asyncio.Future[Any] = await producer.send(
        topics.name(f"forecast.{command.kind}"),
        command.value,
        key,
        command.partition,
        timestamp_ms=timestamp_ms,
        headers=list(command.headers),
    )
    return future


def _sent(command: Outgoing, place: Any, timestamp_ms: int) -> Sent:
    position = f"{place.partition}/{place.offset}/{timestamp_ms}"
    return Sent(
        topic=place.topic,
        partition=place.partition,
        offset=place.offset,
        timestamp_ms=timestamp_ms,
        kind=command.kind,
        good=command.good,
        source=command.source or f"kafka:{place.topic}",
        event_id=command.event_id or position,
    )
