"""The inbox: a batch of commands made durable in one transaction, in a handful of statements whatever its size."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from sqlalchemy import select, update

from consumer.db import inbox_sql
from consumer.db.command_rows import EXECUTION_COLUMNS, cause_of, execution_of
from consumer.db.errors import as_transient, as_unusable
from consumer.db.outbox import insert_messages, remember, sizes_of
from consumer.db.own_tables import command
from consumer.db.repositories.execution_repo import ExecutionRepository
from consumer.db.saving import save_execution
from consumer.db.unattached import fail_unattached
from consumer.model import Execution
from consumer.received import Identity, Received, Refused
from consumer.verdict import Facts
from schemas.enums import ErrorCode, StatusExecucao

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncSession

    from consumer.clock import Clock
    from consumer.db.database import Database
    from consumer.model import ExecutionId
    from consumer.outbound import Composer, OutboxMessage
    from schemas.records import RawRecord

BREATH: Final = 250  # events composed before the event loop gets its turn: the database waits for them


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
        await self._session.execute(inbox_sql.RESERVE, parameters)

    async def facts(self, received: Sequence[Received]) -> Facts:
        """Named executions are locked, so that nobody adopts or starts them meanwhile.

        Identities are looked at last: the command that an execution turns out to belong to may be this very one,
        committed by another process between two of our statements.
        """
        named = sorted({item.execucao_id for item in received if item.names_execution})
        attached = (await self._session.execute(inbox_sql.ATTACHED, {"ids": named})).all() if named else ()
        executions = await self._executions.lock_many(named) if named else {}
        rows = await self._session.execute(inbox_sql.FACTS, inbox_sql.fact_arrays(received))
        found = [(received[row.place - 1], row) for row in rows]
        return Facts(
            attached=frozenset(row.execucao_id for row in attached),
            running=frozenset(row.execucao_id for row in attached if row.state == "running"),
            known={item.identity: row.digest for item, row in found if row.digest is not None},
            executions=executions,
            users=frozenset(item.created_by for item, row in found if row.user_exists and item.created_by is not None),
            refused=frozenset(inbox_sql.position_of(item) for item, row in found if row.refused),
        )

    async def accept(self, received: Sequence[Received]) -> list[Received]:
        """Commands, executions and PENDENTE events in one statement; returns those that another process has first."""
        now = self._clock.now()
        announced: list[tuple[ExecutionId, OutboxMessage]] = []
        for position, item in enumerate(received, start=1):
            announced += [(item.execucao_id, message) for message in self._announce(item, now)]
            if position % BREATH == 0:
                await asyncio.sleep(0)
        parameters = inbox_sql.accept_arrays(received, announced)
        row = (await self._session.execute(inbox_sql.ACCEPT, parameters)).one()
        accepted = frozenset(row.accepted or ())
        sized = zip(announced, sizes_of(parameters), strict=True)
        mine = [(message, size) for (execucao_id, message), size in sized if execucao_id in accepted]
        remember(self._session, row.announced or (), [message for message, _ in mine], [size for _, size in mine])
        return [item for item in received if item.execucao_id not in accepted]

    async def cancel(self, received: Sequence[Received]) -> list[Received]:
        """Queued executions end now; running ones are told by their next heartbeat; unattached ones end here.

        Returns those that another process has first.
        """
        inserted = await self._insert(received)
        for item in received:
            if item.identity in inserted:
                await self._cancel_one(item)
        return [item for item in received if item.identity not in inserted]

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
        rows = await self._session.execute(inbox_sql.INSERT, inbox_sql.command_arrays(inbox_sql.in_one_order(received)))
        return {Identity(row.source, row.event_id) for row in rows}

    def _announce(self, item: Received, now: datetime) -> list[OutboxMessage]:
        execution = Execution(item.execucao_id, item.kind, item.gatilho, replay_of=item.replay_of)
        execution.accept(now)
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
        """Those that nobody refused before; a record that a rebalance brought twice is one of them."""
        if not refused:
            return []
        once = list({inbox_sql.position_of(item): item for item in refused}.values())
        positions = {**inbox_sql.position_arrays(once), "reason": [item.reason for item in once]}
        new = {tuple(row) for row in await self._session.execute(inbox_sql.REMEMBER_POSITIONS, positions)}
        return [item for item in once if (item.raw.topic, item.raw.partition, item.raw.offset) in new]
