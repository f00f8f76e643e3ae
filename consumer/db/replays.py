"""``consumer.replay.ports.ReplayStore`` on PostgreSQL: what was taken, refused and told, read in bulk."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from sqlalchemy import ARRAY, Text, any_, cast, select, text

from consumer.db.command_rows import cause_of
from consumer.db.errors import transient_errors
from consumer.db.outbox import insert_messages
from consumer.db.own_tables import command
from consumer.db.told import retold
from consumer.errors import TransientError
from consumer.received import Identity
from consumer.replay.ports import KnownCommand

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from consumer.db.database import Database
    from consumer.outbound import Composer, OutboxMessage
    from schemas.records import RawRecord

ROOM: Final = 5000  # messages that may wait for the relay before a replay adds its own
_LOOK_SECONDS: Final = 0.2

_KNOWN: Final = text("""
    SELECT c.source, c.event_id, c.digest, c.execucao_id, c.state FROM forecast_consumer.command AS c
      JOIN unnest(cast(:source AS text[]), cast(:event_id AS text[])) AS named(source, event_id)
        ON c.source = named.source AND c.event_id = named.event_id""")
_REFUSED: Final = text("""
    SELECT named.number FROM forecast_consumer.refused_record AS r
      JOIN unnest(cast(:topic AS text[]), cast(:partition AS int[]), cast(:offset AS bigint[]),
                  cast(:timestamp_ms AS bigint[]))
           WITH ORDINALITY AS named(topic, partition, "offset", timestamp_ms, number)
     USING (topic, partition, "offset", timestamp_ms)""")
_WAITING: Final = text("""
    SELECT count(*) FROM (
        SELECT FROM forecast_consumer.outbox WHERE parked_reason IS NULL LIMIT :at_most) AS waiting""")
_TOLD: Final = tuple(
    command.c[name]
    for name in (
        *("execucao_id", "told", "event_id", "correlation_id", "traceparent", "tracestate"),
        *("reply_topic", "reply_partition", "reply_correlation"),
    )
)


class SqlReplayStore:
    """Reads without locks; what it sends goes through the outbox, behind everything that was committed before.

    Args:
        database: Of the running service.
        composer: Makes messages as the service does.
        patience_seconds: How long to wait for a relay that empties a full outbox.
    """

    def __init__(self, database: Database, composer: Composer, *, patience_seconds: float = 30.0) -> None:
        self._database = database
        self._composer = composer
        self._patience_seconds = patience_seconds

    @transient_errors
    async def known(self, identities: Iterable[Identity]) -> Mapping[Identity, KnownCommand]:
        """By primary key."""
        named = list(identities)
        parameters = {"source": [one.source for one in named], "event_id": [one.event_id for one in named]}
        async with self._database.session() as session:
            rows = (await session.execute(_KNOWN, parameters)).all()
        return {
            Identity(row.source, row.event_id): KnownCommand(row.digest, row.execucao_id, row.state == "done")
            for row in rows
        }

    @transient_errors
    async def refused(self, records: Sequence[RawRecord]) -> frozenset[RawRecord]:
        """By primary key."""
        if not records:
            return frozenset()
        parameters = {
            "topic": [raw.topic for raw in records],
            "partition": [raw.partition for raw in records],
            "offset": [raw.offset for raw in records],
            "timestamp_ms": [raw.timestamp_ms for raw in records],
        }
        async with self._database.session() as session:
            numbers = (await session.scalars(_REFUSED, parameters)).all()
        return frozenset(records[number - 1] for number in numbers)

    @transient_errors
    async def stored_events(self, execucao_ids: Sequence[str]) -> list[OutboxMessage]:
        """In the order of the ids."""
        wanted = command.c.execucao_id == any_(cast(list(execucao_ids), ARRAY(Text)))
        statement = select(*_TOLD).where(wanted, command.c.comando != "cancel", command.c.state == "done")
        async with self._database.session() as session:
            rows = (await session.execute(statement)).mappings().all()
        found = {row["execucao_id"]: retold(row["told"], cause_of(row), self._composer) for row in rows}
        return [message for execucao_id in execucao_ids for message in found.get(execucao_id, ())]

    @transient_errors
    async def send_again(self, messages: Sequence[OutboxMessage]) -> None:
        """Once the outbox has room: the events of running executions wait behind these.

        Raises:
            TransientError: The outbox stays full; probably no relay is running.
        """
        await self._wait_for_room()
        async with self._database.transaction() as session:
            await insert_messages(session, messages)

    async def _wait_for_room(self) -> None:
        try:
            async with asyncio.timeout(self._patience_seconds):
                while True:
                    if await self._waiting() < ROOM:
                        return
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            message = f"the outbox holds {ROOM} messages or more for {self._patience_seconds:g} s: is a relay running?"
            raise TransientError(message) from None

    async def _waiting(self) -> int:
        async with self._database.session() as session:
            return int(await session.scalar(_WAITING, {"at_most": ROOM}) or 0)
