"""FastStream: ``one`` handler call a message, or ``batch``; offsets are committed after the handler's end."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

import asyncpg
from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker
from faststream.kafka.annotations import KafkaMessage  # noqa: TC002 - FastStream reads the annotation at run time
from pydantic import BaseModel

from benchmarks.peers import rows


class Command(BaseModel):
    """The body, validated by FastStream before the handler sees it."""

    produto_ids: list[str]
    horizonte_semanas: int
    gatilho: str
    priority: int


LOGGER = logging.getLogger("peer")  # warnings only: a line for every message would cost it dear
broker = KafkaBroker(rows.BOOTSTRAP_SERVERS, acks="all", enable_idempotence=True, logger=LOGGER)
app = FastStream(broker, logger=LOGGER)
pool: asyncpg.Pool
options: dict[str, Any] = {
    "group_id": rows.GROUP,
    "auto_offset_reset": "earliest",
    "ack_policy": AckPolicy.NACK_ON_ERROR,
}


@app.on_startup
async def open_pool() -> None:
    """Before the first message."""
    global pool  # noqa: PLW0603 - how FastStream's documentation shares a resource between handlers
    pool = await asyncpg.create_pool(rows.DATABASE_URL)


async def one(body: Command, message: KafkaMessage) -> None:
    """One message, one transaction, one event."""
    raw = message.raw_message
    accepted = rows.accept(message.headers, body.model_dump(), (raw.topic, raw.partition, raw.offset))
    async with pool.acquire() as connection:
        await rows.store_one(connection, accepted)
    await broker.publish(accepted.value, rows.STATUS, key=accepted.key, headers=texts(accepted))


async def batch(bodies: list[Command], message: KafkaMessage) -> None:
    """A batch in one transaction, its events in flight together."""
    accepted = [
        rows.accept(headers, body.model_dump(), (raw.topic, raw.partition, raw.offset))
        for body, headers, raw in zip(bodies, message.batch_headers, message.raw_message, strict=True)
    ]
    async with pool.acquire() as connection:
        await rows.store(connection, accepted)
    # publish_batch would give all events one partition and the same headers.
    sent = [
        await broker.publish(row.value, rows.STATUS, key=row.key, headers=texts(row), no_confirm=True)
        for row in accepted
    ]
    await asyncio.gather(*sent)


def texts(row: rows.Accepted) -> dict[str, str]:
    """Headers as FastStream takes them."""
    return {name: value.decode() for name, value in row.headers}


if __name__ == "__main__":
    if sys.argv[1] == "batch":
        broker.subscriber(rows.COMMANDS, **options, batch=True, max_records=rows.BATCH)(batch)
    else:
        broker.subscriber(rows.COMMANDS, **options)(one)
    asyncio.run(app.run())
