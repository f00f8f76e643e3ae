"""The inbox: a batch of commands made durable in one transaction, in a handful of statements whatever its size."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select, text, update

from consumer.db.command_rows import EXECUTION_COLUMNS, cause_of, execution_of
from consumer.db.errors import as_transient, as_unusable
from consumer.db.outbox import insert_messages
from consumer.db.own_tables import command
from consumer.db.repositories.execution_repo import ExecutionRepository
from consumer.db.repositories.records import NewExecution
from consumer.db.saving import save_execution
from consumer.db.unattached import fail_unattached
from consumer.model import Execution
from consumer.received import Identity, Received, Refused
from consumer.verdict import Facts
from schemas.commands import CancelExecution, canonical_data
from schemas.enums import CommandKind, ErrorCode, StatusExecucao, TipoExecucao

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from consumer.clock import Clock
    from consumer.db.database import Database
    from consumer.outbound import Composer, OutboxMessage
    from schemas.records import RawRecord

# Planning takes the newest finished execution of type FORECAST and reads its results: only a predict has any
# (docs/adr/0002).
EXECUTION_TYPE: Final = {
    CommandKind.PREDICT: TipoExecucao.FORECAST,
    CommandKind.TRAIN: TipoExecucao.PIPELINE_DIARIO,
    CommandKind.BACKTEST: TipoExecucao.PIPELINE_DIARIO,
}

_COLUMNS: Final[dict[str, tuple[str, Callable[[Received], Any]]]] = {
    "source": ("text", lambda item: item.identity.source),
    "event_id": ("text", lambda item: item.identity.event_id),
    "execucao_id": ("text", lambda item: item.execucao_id),
    "comando": ("text", lambda item: item.topic_kind.value),
    "gatilho": ("text", lambda item: item.gatilho.value),
    "digest": ("bytea", lambda item: item.digest),
    "payload": ("text", lambda item: item.canonical_json),
    "priority": ("smallint", lambda item: item.priority),
    "origin_topic": ("text", lambda item: item.raw.topic),
    "origin_partition": ("int", lambda item: item.raw.partition),
    "origin_offset": ("bigint", lambda item: item.raw.offset),
    "correlation_id": ("text", lambda item: item.envelope.correlation_id),
    "traceparent": ("text", lambda item: item.envelope.traceparent),
    "tracestate": ("text", lambda item: item.envelope.tracestate),
    "reply_topic": ("text", lambda item: item.envelope.reply and item.envelope.reply.topic),
    "reply_partition": ("int", lambda item: item.envelope.reply and item.envelope.reply.partition),
    "reply_correlation": ("text", lambda item: item.envelope.reply and item.envelope.reply.correlation_id),
    "expires_at": ("timestamptz", lambda item: item.envelope.expires_at),
    "replay_of": ("text", lambda item: item.replay_of),
    "state": ("text", lambda item: "done" if isinstance(item.command, CancelExecution) else "queued"),
    "status_sequence": ("int", lambda item: 0 if isinstance(item.command, CancelExecution) else 1),
}
_INSERT: Final = text(f"""
    INSERT INTO forecast_consumer.command ({", ".join(_COLUMNS)}, finished_at)
    SELECT {", ".join(f"{name}::jsonb" if name == "payload" else name for name in _COLUMNS)},
           CASE WHEN state = 'done' THEN now() END
      FROM unnest({", ".join(f"cast(:{name} AS {kind}[])" for name, (kind, _) in _COLUMNS.items())})
        AS incoming({", ".join(_COLUMNS)})
    ON CONFLICT DO NOTHING
 RETURNING source, event_id""")  # noqa: S608 - made of the constants above
_KNOWN: Final = text("""
    SELECT c.source, c.event_id, c.digest FROM forecast_consumer.command AS c
      JOIN unnest(cast(:source AS text[]), cast(:event_id AS text[])) AS named(source, event_id)
        ON c.source = named.source AND c.event_id = named.event_id""")
# One member at a time persists records of a partition; sorted, so that no two wait for each other.
_RESERVE: Final = text("""
    SELECT pg_advisory_xact_lock(key) FROM (
        SELECT DISTINCT hashtextextended('forecast_consumer inbox ' || partition || ' ' || topic, 0) AS key
          FROM unnest(cast(:topic AS text[]), cast(:partition AS int[])) AS read(topic, partition)
         ORDER BY key) AS sorted""")
_REFUSED: Final = text("""
    SELECT r.topic, r.partition, r."offset", r.timestamp_ms FROM forecast_consumer.refused_record AS r
      JOIN unnest(cast(:topic AS text[]), cast(:partition AS int[]), cast(:offset AS bigint[]),
                  cast(:timestamp_ms AS bigint[])) AS read(topic, partition, "offset", timestamp_ms)
        ON r.topic = read.topic AND r.partition = read.partition
       AND r."offset" = read."offset" AND r.timestamp_ms = read.timestamp_ms""")
# Locked before their executions, as every writer of an execution does: the order that rules out deadlocks.
_ATTACHED: Final = text("""
    SELECT execucao_id, state FROM forecast_consumer.command
     WHERE execucao_id = ANY(cast(:ids AS text[])) AND comando <> 'cancel' ORDER BY execucao_id FOR UPDATE""")
# One array a column: a batch may hold more bad records than a statement may have parameters.
_REMEMBER_POSITIONS: Final = text("""
    INSERT INTO forecast_consumer.refused_record (topic, partition, "offset", timestamp_ms, reason)
    SELECT * FROM unnest(cast(:topic AS text[]), cast(:partition AS int[]), cast(:offset AS bigint[]),
                         cast(:timestamp_ms AS bigint[]), cast(:reason AS text[]))
    ON CONFLICT DO NOTHING
 RETURNING topic, partition, refused_record."offset" """)


class SqlInbox:
    """``consumer.intake.Inbox`` on PostgreSQL."""

    def __init__(self, database: Database, composer: Composer, clock: Clock) -> None:
        self._database = database
        self._composer = composer
        self._clock = clock

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[SqlInboxTransaction]:
        """Commits when the body ends.

        Raises:
            TransientError: The database is away.
            UnusableDatabaseError: It lacks what the statements need.
        """
        with as_unusable(), as_transient():
            async with self._database.transaction() as session:
                yield SqlInboxTransaction(session, self._composer, self._clock)


class SqlInboxTransaction:
    """``consumer.intake.InboxTransaction`` on one session."""

    def __init__(self, session: AsyncSession, composer: Composer, clock: Clock) -> None:
        self._session = session
        self._executions = ExecutionRepository(session)
        self._composer = composer
        self._clock = clock

    async def reserve(self, records: Sequence[RawRecord]) -> None:
        """Advisory locks on the partitions, which end with the transaction."""
        places = sorted({(raw.topic, raw.partition) for raw in records})
        parameters = {"topic": [topic for topic, _ in places], "partition": [number for _, number in places]}
        await self._session.execute(_RESERVE, parameters)

    async def facts(self, received: Sequence[Received]) -> Facts:
        """Named executions are locked, so that nobody adopts or starts them meanwhile.

        Identities are looked at last: the command that an execution turns out to belong to may be this very one,
        committed by another process between two of our statements.
        """
        named = sorted({item.execucao_id for item in received if item.names_execution})
        attached = (await self._session.execute(_ATTACHED, {"ids": named})).all() if named else ()
        executions = await self._executions.lock_many(named) if named else {}
        users = {item.created_by for item in received if item.created_by is not None}
        identities = {
            "source": [item.identity.source for item in received],
            "event_id": [item.identity.event_id for item in received],
        }
        refused = await self._session.execute(_REFUSED, _positions(received))
        known = await self._session.execute(_KNOWN, identities)
        return Facts(
            refused=frozenset(tuple(row) for row in refused),
            attached=frozenset(row.execucao_id for row in attached),
            running=frozenset(row.execucao_id for row in attached if row.state == "running"),
            known={Identity(row.source, row.event_id): row.digest for row in known},
            executions=executions,
            users=await self._executions.existing_users(sorted(users)) if users else frozenset(),
        )

    async def accept(self, received: Sequence[Received]) -> list[Received]:
        """Commands, then executions, then PENDENTE events; returns those that another process inserted first."""
        inserted = await self._insert(received)
        mine = [item for item in received if item.identity in inserted]
        await self._executions.insert_many([_execution_row(item) for item in mine])
        await insert_messages(self._session, [message for item in mine for message in self._announce(item)])
        return [item for item in received if item.identity not in inserted]

    async def cancel(self, received: Sequence[Received]) -> None:
        """Queued executions end now; running ones are told by their next heartbeat; unattached ones end here."""
        inserted = await self._insert(received)
        for item in received:
            if item.identity in inserted:
                await self._cancel_one(item)

    async def refuse(self, refused: Sequence[Refused]) -> int:
        """Each position once."""
        new = await self._new_positions(refused)
        messages = [message for item in new for message in self._composer.refuse(item, self._clock.now())]
        await insert_messages(self._session, messages)
        named = {item.execucao_id: item for item in new if item.execucao_id is not None}
        for execucao_id, item in sorted(named.items()):
            await fail_unattached(
                self._session,
                self._composer,
                self._clock,
                execucao_id,
                item.topic_kind,
                (ErrorCode.REJECTED, item.summary),
            )
        return len(new)

    async def _insert(self, received: Sequence[Received]) -> set[Identity]:
        if not received:
            return set()
        # In one order, so that two members with the same commands from other partitions never wait for each other.
        ordered = sorted(received, key=lambda item: item.identity)
        parameters = {name: [read(item) for item in ordered] for name, (_, read) in _COLUMNS.items()}
        rows = await self._session.execute(_INSERT, parameters)
        return {Identity(row.source, row.event_id) for row in rows}

    def _announce(self, item: Received) -> list[OutboxMessage]:
        execution = Execution(item.execucao_id, item.kind, item.gatilho, replay_of=item.replay_of)
        execution.accept(self._clock.now())
        return [message for event in execution.events for message in self._composer.compose(event, item.cause)]

    async def _cancel_one(self, item: Received) -> None:
        statement = select(*EXECUTION_COLUMNS).where(
            command.c.execucao_id == item.execucao_id,
            command.c.comando != "cancel",
            command.c.state != "done",
        )
        row = (await self._session.execute(statement.with_for_update())).mappings().one_or_none()
        error = (ErrorCode.CANCELLED, item.cancel_reason)
        if row is None:
            await fail_unattached(self._session, self._composer, self._clock, item.execucao_id, item.topic_kind, error)
        elif row["state"] == "queued":
            execution = execution_of(row)
            execution.finish(StatusExecucao.ERRO, self._clock.now(), error=error)
            await save_execution(self._session, execution, cause_of(row), self._composer, self._clock)
        else:
            await self._session.execute(
                update(command)
                .where(command.c.execucao_id == item.execucao_id, command.c.comando != "cancel")
                .values(cancel_reason=item.cancel_reason)
            )

    async def _new_positions(self, refused: Sequence[Refused]) -> list[Refused]:
        if not refused:
            return []
        positions = {**_positions(refused), "reason": [item.reason for item in refused]}
        new = {tuple(row) for row in await self._session.execute(_REMEMBER_POSITIONS, positions)}
        return [item for item in refused if (item.raw.topic, item.raw.partition, item.raw.offset) in new]


def _positions(items: Sequence[Received] | Sequence[Refused]) -> dict[str, list[Any]]:
    """One array a column, as the parameters of a statement."""
    return {
        "topic": [item.raw.topic for item in items],
        "partition": [item.raw.partition for item in items],
        "offset": [item.raw.offset for item in items],
        "timestamp_ms": [item.raw.timestamp_ms for item in items],
    }


def _execution_row(item: Received) -> NewExecution:
    return NewExecution(
        id=item.execucao_id,
        tipo=EXECUTION_TYPE[item.kind],
        gatilho=item.gatilho,
        parametros={"comando": item.kind.value, **canonical_data(item.command)},
        created_by=item.created_by,
    )
