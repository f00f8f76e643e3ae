"""The core's adapters on one real database, and short questions about what they left there."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from sqlalchemy import event, text

from consumer.clock import SystemClock
from consumer.db.inbox import SqlInbox
from consumer.db.outbox import SqlOutbox
from consumer.db.queue import SqlCommandQueue
from consumer.intake import Intake, IntakeReport
from consumer.model import ExecutionId
from tests.builders import COMMAND_TOPICS, COMPOSER, record, uuid
from tests.fakes import ManualClock
from tests.integration.db.seed import Seed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from consumer.db.database import Database
    from consumer.model import Execution
    from consumer.outbound import OutboxMessage
    from consumer.ports.queue import Claim
    from schemas.records import RawRecord


@dataclass(slots=True)
class Store:
    database: Database
    committed: list[Execution] = field(default_factory=list)
    clock: ManualClock = field(default_factory=ManualClock)
    _numbers: count[int] = field(default_factory=lambda: count(1000))
    _offsets: count[int] = field(default_factory=lambda: count(5000))

    @property
    def inbox(self) -> SqlInbox:
        return SqlInbox(self.database, COMPOSER, SystemClock())

    @property
    def seed(self) -> Seed:
        return Seed(self.database)

    def queue(self, owner: str = "worker-1", lease_seconds: float = 30.0) -> SqlCommandQueue:
        return SqlCommandQueue(
            self.database, COMPOSER, self.clock, self.committed.append, owner=owner, lease_seconds=lease_seconds
        )

    def outbox(self, owner: str = "relay-1") -> SqlOutbox:
        return SqlOutbox(self.database, owner=owner)

    async def take(self, *records: RawRecord) -> IntakeReport:
        intake = Intake(self.inbox, COMMAND_TOPICS, lambda: ExecutionId(str(uuid(next(self._numbers)))))
        return await intake.take(records)

    async def command(self, number: int = 1, kind: str = "predict", **data: Any) -> str:
        """Queue a command for the execution with the UUID of ``number``."""
        named = {"execucao_id": uuid(number), **data}
        headers = named.pop("headers", None)
        offset = next(self._offsets)
        await self.take(record(kind, named, event_id=f"cmd-{number}", offset=offset, headers=headers))
        return uuid(number)

    async def cancel(self, number: int = 1, motivo: str | None = None) -> IntakeReport:
        offset = next(self._offsets)
        data = {"execucao_id": uuid(number), "motivo": motivo}
        return await self.take(record("cancel", data, event_id=f"cancel-{offset}", offset=offset))

    async def claimed(self, number: int = 1, **data: Any) -> Claim:
        """Queue one command and claim it, so that its first step runs since ``at(0)``."""
        await self.command(number, **data)
        [claim] = await self.queue().claim(1)
        return claim

    async def expire_leases(self) -> None:
        """Let every lease have run out a second ago."""
        await self.execute("UPDATE forecast_consumer.command SET lease_until = now() - interval '1 second'")

    @contextmanager
    def statements(self) -> Iterator[list[str]]:
        """What the database is asked within the block."""
        executed: list[str] = []

        def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            executed.append(statement)

        engine = self.database.engine.sync_engine
        event.listen(engine, "before_cursor_execute", note)
        try:
            yield executed
        finally:
            event.remove(engine, "before_cursor_execute", note)

    async def execute(self, sql: str, **parameters: Any) -> None:
        async with self.database.transaction() as session:
            await session.execute(text(sql), parameters)

    async def scalar(self, sql: str, **parameters: Any) -> Any:
        return await self.seed.scalar(sql, **parameters)

    async def rows(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        return await self.seed.rows(sql, **parameters)

    async def row(self, number: int = 1) -> dict[str, Any]:
        """The command row of an execution."""
        sql = "SELECT to_jsonb(c) FROM forecast_consumer.command AS c WHERE execucao_id = :id AND comando <> 'cancel'"
        found: dict[str, Any] = await self.scalar(sql, id=uuid(number))
        return found

    async def messages(self) -> list[OutboxMessage]:
        return [message for _, message in await self.outbox().pending(10_000)]

    async def events(self, topic: str = "forecast.status") -> list[dict[str, Any]]:
        return [json.loads(one.value or b"null") for one in await self.messages() if one.topic == topic]

    # --- as the inbox suite asks

    async def pendente(self, execucao_id: str) -> None:
        await self.seed.execution(execucao_id)

    async def user(self, user_id: str) -> None:
        await self.seed.users(user_id)

    async def run(self, execucao_id: str) -> None:
        [claim] = await self.queue().claim(1)
        assert claim.lease.execucao_id == execucao_id

    async def cancel_reason(self, execucao_id: str) -> str | None:
        sql = "SELECT cancel_reason FROM forecast_consumer.command WHERE execucao_id = :id AND comando <> 'cancel'"
        reason: str | None = await self.scalar(sql, id=execucao_id)
        return reason

    async def status(self, execucao_id: str) -> str | None:
        sql = "SELECT status::text FROM execucao_planejamento WHERE id = :id"
        status: str | None = await self.scalar(sql, id=execucao_id)
        return status

    async def executions(self) -> int:
        return int(await self.scalar("SELECT count(*) FROM execucao_planejamento"))
