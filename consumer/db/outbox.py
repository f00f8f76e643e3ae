"""The outbox: messages committed with what they tell, deleted when the broker has them."""

from __future__ import annotations

import asyncio
import json
import secrets
from bisect import bisect_right
from contextlib import suppress
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import PydanticSerializationError, from_json, to_json
from sqlalchemy import text

from consumer.db.database import after_commit
from consumer.db.errors import as_transient, transient_errors
from consumer.db.known import SESSION_KEY, KnownMessages
from consumer.errors import TransientError
from consumer.outbound import OutboxMessage
from consumer.ports.relay import ROUND_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from sqlalchemy.ext.asyncio import AsyncSession

    from consumer.db.database import Database
    from schemas.records import RawHeaders

LET_GO_SECONDS: Final = 0.5  # at the very end of a shutdown, perhaps with a database that does not answer

_COLUMNS: Final = {
    "event_id": "text",
    "topic": "text",
    "partition": "int",
    "key": "bytea",
    "value": "bytea",
    "headers": "bytea",
}
MESSAGE_COLUMNS: Final = ", ".join(_COLUMNS)
MESSAGE_ARRAYS: Final = f"unnest({', '.join(f'cast(:message_{name} AS {kind}[])' for name, kind in _COLUMNS.items())})"
_INSERT: Final = text(f"""
    INSERT INTO forecast_consumer.outbox ({MESSAGE_COLUMNS})
    SELECT {MESSAGE_COLUMNS} FROM {MESSAGE_ARRAYS} WITH ORDINALITY AS message({MESSAGE_COLUMNS}, position)
     ORDER BY position
 RETURNING id""")  # noqa: S608 - made of the constants above
# NOT IN, because of all ways to say so this is a hash table in every plan: those left out are thousands.
_OLDEST: Final = text("""
    SELECT array_agg(id ORDER BY id), array_agg(event_id ORDER BY id), array_agg(bytes ORDER BY id)
      FROM (SELECT id, event_id, coalesce(octet_length(value), 0) AS bytes FROM forecast_consumer.outbox
             WHERE parked_reason IS NULL AND id NOT IN (SELECT unnest(cast(:leave_out AS bigint[])))
             ORDER BY id LIMIT :limit) AS oldest""")
_CONTENTS: Final = text("""
    SELECT id, event_id, topic, partition, key, value, headers FROM forecast_consumer.outbox
     WHERE id = ANY(cast(:ids AS bigint[])) AND parked_reason IS NULL""")
_DELETE: Final = text("DELETE FROM forecast_consumer.outbox WHERE id = ANY(cast(:ids AS bigint[]))")
_PARK: Final = text("""
    UPDATE forecast_consumer.outbox AS o SET parked_reason = refused.reason
      FROM unnest(cast(:ids AS bigint[]), cast(:reasons AS text[])) AS refused(id, reason)
     WHERE o.id = refused.id""")
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
    arrays = message_arrays(messages)
    ids = (await session.scalars(_INSERT, arrays)).all()
    remember(session, ids, messages, sizes_of(arrays))


def message_arrays(messages: Sequence[OutboxMessage]) -> dict[str, list[Any]]:
    """The parameters of ``MESSAGE_ARRAYS``: one array a column."""
    return {
        "message_event_id": [message.event_id for message in messages],
        "message_topic": [message.topic for message in messages],
        "message_partition": or_nothing([message.partition for message in messages]),
        "message_key": [message.key for message in messages],
        "message_value": [message.value for message in messages],
        "message_headers": [encode_headers(message.headers) for message in messages],
    }


def or_nothing(column: list[Any]) -> list[Any]:
    """An array that holds nothing but nulls as an empty one, which costs nobody anything.

    For statements that ``unnest`` several arrays side by side: PostgreSQL fills the shorter ones up with nulls.
    """
    return column if any(value is not None for value in column) else []


def sizes_of(arrays: Mapping[str, list[Any]]) -> list[int]:
    """Bytes of each message's value and headers, from what ``message_arrays`` made of them."""
    contents = zip(arrays["message_value"], arrays["message_headers"], strict=True)
    return [len(value or b"") + len(headers) for value, headers in contents]


def remember(
    session: AsyncSession, ids: Sequence[int], messages: Sequence[OutboxMessage], sizes: Sequence[int]
) -> None:
    """Spare this process's relay the reading of what the session is about to commit, if it is the one that publishes.

    Args:
        session: Of ``Database.transaction``.
        ids: The row of each message.
        messages: In the order of their ids.
        sizes: Of each message, by ``sizes_of``.
    """
    known: KnownMessages | None = session.info.get(SESSION_KEY)
    if known is not None and known.wanted:
        after_commit(session, partial(known.add, ids, messages, sizes))


def encode_headers(headers: RawHeaders) -> bytes:
    """Headers as JSON; Latin-1 maps every byte to one character, so that any value survives, and no value is null."""
    with_utf8 = _try_json(headers)
    if with_utf8 is not None and with_utf8.isascii():  # as nearly always; Latin-1 would have been the same
        return with_utf8
    pairs = [(name, None if value is None else value.decode("latin-1")) for name, value in headers]
    with_latin1 = _try_json(pairs)
    if with_latin1 is not None:
        return with_latin1
    return json.dumps(pairs, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _try_json(pairs: object) -> bytes | None:
    """None for bytes that are no UTF-8, and for half a surrogate pair in a name, which only ``json`` writes."""
    try:
        return to_json(pairs)
    except PydanticSerializationError:
        return None


def decode_headers(value: bytes) -> RawHeaders:
    """The inverse of ``encode_headers``."""
    try:
        pairs = from_json(value)
    except ValueError:
        pairs = json.loads(value.decode("utf-8", "surrogatepass"))
    return tuple((name, None if text is None else text.encode("latin-1")) for name, text in pairs)


class SqlOutbox:
    """``consumer.ports.relay.Outbox`` on PostgreSQL. Rows are never read by a cursor over ids: ids commit out of order.

    Args:
        database: Where the rows are.
        owner: The name of this process in the relay's lease; two processes may have been given the same.
        known: Filled by sessions of this process's database that ``share`` it.
    """

    def __init__(self, database: Database, *, owner: str, known: KnownMessages | None = None) -> None:
        self._database = database
        self._owner = f"{owner}/{secrets.token_hex(4)}"  # or both of one name would hold the lease
        self._known = KnownMessages() if known is None else known

    @transient_errors
    async def hold(self, seconds: float) -> bool:
        """Take or prolong the relay's lease, by the database's clock."""
        self._known.wanted = False
        async with self._database.single() as connection:
            held = await connection.scalar(_HOLD, {"owner": self._owner, "seconds": seconds}) is not None
        self._known.wanted = held
        if not held:
            self._known.forget_before(None)
        return held

    async def let_go(self) -> None:
        """Give the lease up at once, so that another relay need not wait for its end; if that fails, it waits."""
        statement = text("DELETE FROM forecast_consumer.role_lease WHERE role = 'relay' AND owner = :owner")
        with suppress(TransientError), as_transient():
            async with asyncio.timeout(LET_GO_SECONDS), self._database.single() as connection:
                await connection.execute(statement, {"owner": self._owner})

    @transient_errors
    async def pending(self, limit: int, leave_out: AbstractSet[int] = frozenset()) -> list[tuple[int, OutboxMessage]]:
        """The oldest messages that are neither parked nor among the rows to be left out.

        The table says which rows there are; contents are fetched of those that this process has not just written.
        """
        async with self._database.single() as connection:
            oldest = (await connection.execute(_OLDEST, {"limit": limit, "leave_out": list(leave_out)})).one()
            count = bisect_right(list(accumulate(oldest[2] or ())), ROUND_BYTES) or 1
            ids, event_ids = (oldest[0] or ())[:count], (oldest[1] or ())[:count]
            self._known.forget_before(min((*ids[:1], *leave_out), default=None))
            found = {row: self._known.take(row, event_id) for row, event_id in zip(ids, event_ids, strict=True)}
            unknown = [row for row, message in found.items() if message is None]
            if unknown:
                fetched = await connection.execute(_CONTENTS, {"ids": unknown})
                found.update((row.id, _message(row)) for row in fetched)
        return [(row, message) for row, message in found.items() if message is not None]

    @transient_errors
    async def delete(self, ids: Sequence[int]) -> None:
        """Delete by id, whichever relay published them."""
        async with self._database.single() as connection:
            await connection.execute(_DELETE, {"ids": list(ids)})

    @transient_errors
    async def park(self, reasons: Mapping[int, str]) -> None:
        """Keep the rows, each with its reason; the relay passes over them."""
        async with self._database.single() as connection:
            await connection.execute(_PARK, {"ids": list(reasons), "reasons": list(reasons.values())})


def _message(row: Any) -> OutboxMessage:
    headers = decode_headers(row.headers)
    return OutboxMessage(row.event_id, row.topic, row.partition, row.key, row.value, headers)
