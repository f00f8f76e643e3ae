"""Commands onto a topic as fast as librdkafka sends them, so that the producer bounds nobody."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

from confluent_kafka import Producer

if TYPE_CHECKING:
    from collections.abc import Callable

    Message = tuple[bytes, bytes, list[tuple[str, bytes]]]

FLUSH_SECONDS = 60


def predict(number: int) -> Message:
    """Key, value and headers of a valid predict, in CloudEvents' binary mode."""
    identity = str(uuid4()).encode()
    headers = [("ce_specversion", b"1.0"), ("ce_id", identity), ("ce_source", b"/benchmark")]
    headers += [("ce_type", b"forecast.predict"), ("content-type", b"application/json")]
    value = b'{"produto_ids":["p%d"],"horizonte_semanas":13,"gatilho":"AGENDADO","priority":3}' % number
    return identity, value, headers


def everything(kind: str, number: int) -> Message:
    """A ``train``, ``predict`` or ``backtest`` of all products."""
    key, _, headers = predict(number)
    return key, b"{}", [(name, f"forecast.{kind}".encode() if name == "ce_type" else value) for name, value in headers]


async def blast(bootstrap_servers: str, topic: str, count: int, message: Callable[[int], Message] = predict) -> None:
    """Produce ``count`` messages, spread over the partitions by key; returns when the broker has them all."""
    messages = [message(number) for number in range(count)]
    await asyncio.to_thread(_send, bootstrap_servers, topic, messages)


def _send(bootstrap_servers: str, topic: str, messages: list[Message]) -> None:
    limits = {"queue.buffering.max.messages": len(messages) + 1, "queue.buffering.max.kbytes": 2**20}
    producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 5, "acks": "all", **limits})
    for key, value, headers in messages:
        producer.produce(topic, value, key, headers=headers)
    if left := producer.flush(FLUSH_SECONDS):
        raise TimeoutError(f"{left} of {len(messages)} messages were not acknowledged within {FLUSH_SECONDS} s")
