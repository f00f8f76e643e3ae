"""The outbox: messages committed with what they tell, deleted when the broker has them."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from sqlalchemy import ARRAY, BigInteger, any_, cast, delete, select, text, update

from consumer.db.errors import as_transient, transient_errors
from consumer.db.own_tables import outbox
from consumer.errors import TransientError
from consumer.outbound import OutboxMessage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from consumer.db.database import Database
    from schemas.records import RawHeaders

LET_GO_SECONDS: Final = 0.5  # at the very end of a shutdown, perhaps with a database that does not answer

_INSERT: Final = text("""
    INSERT INTO forecast_consumer.outbox (event_id, topic, partition, key, value, headers)
    SELECT event_id, topic, partition, key, value, headers
      FROM unnest(cast(:event_id AS text[]), cast(:topic AS text[]), cast(:partition AS int[]),
                         cast(:key AS bytea[]), cast(:value AS bytea[]), cast(:headers AS bytea[]))
      WITH ORDINALITY AS message(event_id, topic, partition, key, value, headers, position)
     ORDER BY position""")
_HOLD: Final = text("""
    INSERT INTO forecast_consumer.role_lease AS held (role, owner, epoch, expires_at)
    VALUES ('relay', :owner, 1, clock_timestamp() + make_interval(secs => :seconds))
    ON CONFLICT (role) DO UPDATE
       SET owner = excluded.owner, expires_at = excluded.expires_at,
           epoch = held.epoch + (held.owner <> excluded.owner)::int
     WHERE held.owner = excluded.owner OR held.expires_at < clock_timestamp()
    RETURNING owner""")


async def insert_messages(session: AsyncSession, messages: Sequence[OutboxMessage]) -> None:
    """Add messages to the caller's transaction, in order, in one statement.

    The caller holds the lock of the execution that they belong to, so that ids rise in the order of its events.
    """
    if not messages:
        return
    await session.execute(
        _INSERT,
        {
            "event_id": [message.event_id for message in messages],
            "topic": [message.topic for message in messages],
            "partition": [message.partition for message in messages],
            "key": [message.key for message in messages],
            "value": [message.value for message in messages],
            "headers": [encode_headers(message.headers) for message in messages],
        },
    )


def encode_headers(headers: RawHeaders) -> bytes:
    """Headers as JSON; Latin-1 maps every byte to one character, so that any value survives, and no value is null."""
    pairs = [[name, None if value is None else value.decode("latin-1")] for name, value in headers]
    return json.dumps(pairs, ensure_ascii=False).encode("utf-8", "surrogatepass")


def decode_headers(value: bytes) -> RawHeaders:
    """The inverse of ``encode_headers``."""
    pairs = json.loads(value.decode("utf-8", "surrogatepass"))
    return tuple((name, None if text is None else text.encode("latin-1")) for name, text in pairs)


class SqlOutbox:
    """``consumer.ports.Outbox`` on PostgreSQL. Rows are never read by a cursor over ids: ids commit out of order."""

    def __init__(self, database: Database, *, owner: str) -> None:
        self._database = database
        self._owner = owner

    @transient_errors
    async def hold(self, seconds: float) -> bool:
        """Take or prolong the relay's lease, by the database's clock."""
        async with self._database.transaction() as session:
            return await session.scalar(_HOLD, {"owner": self._owner, "seconds": seconds}) is not None

    async def let_go(self) -> None:
        """Give the lease up at once, so that another relay need not wait for its end; if that fails, it waits."""
        statement = text("DELETE FROM forecast_consumer.role_lease WHERE role = 'relay' AND owner = :owner")
        with suppress(TransientError), as_transient():
            async with asyncio.timeout(LET_GO_SECONDS), self._database.transaction() as session:
                await session.execute(statement, {"owner": self._owner})

    @transient_errors
    async def pending(self, limit: int) -> list[tuple[int, OutboxMessage]]:
        """The oldest messages that are not parked."""
        statement = select(outbox).where(outbox.c.parked_reason.is_(None)).order_by(outbox.c.id).limit(limit)
        async with self._database.session() as session:
            rows = (await session.execute(statement)).all()
        return [
            (
                row.id,
                OutboxMessage(
                    event_id=row.event_id,
                    topic=row.topic,
                    partition=row.partition,
                    key=row.key,
                    value=row.value,
                    headers=decode_headers(row.headers),
                ),
            )
            for row in rows
        ]

    @transient_errors
    async def delete(self, ids: Sequence[int]) -> None:
        """Delete by id, whichever relay published them."""
        async with self._database.transaction() as session:
            await session.execute(delete(outbox).where(outbox.c.id == any_(cast(list(ids), ARRAY(BigInteger)))))

    @transient_errors
    async def park(self, row_id: int, reason: str) -> None:
        """Keep the row with the reason; the relay passes over it."""
        async with self._database.transaction() as session:
            await session.execute(update(outbox).where(outbox.c.id == row_id).values(parked_reason=reason))
