"""The same on a real database: the adapters, the broker's log, and what the tables hold."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from consumer.db.archive import SqlArchive
from consumer.db.inbox import SqlInbox
from consumer.db.outbox import SqlOutbox
from consumer.db.queue import SqlCommandQueue
from consumer.intake import Intake, IntakeReport
from consumer.outbox import Relay, RelayOptions
from tests.builders import COMMAND_TOPICS, COMPOSER, record
from tests.fakes import CapturedLog, FakeReceipt, ManualClock
from tests.integration.core.store import Store
from tests.integration.db.machine.model import no_new_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from consumer.db.database import Database
    from consumer.model import Lease
    from consumer.outbound import OutboxMessage
    from consumer.ports.fenced import FencedWork
    from schemas.records import RawRecord

PRODUCTS: Final = ("p0", "p1", "p2")
_EMPTY: Final = (
    *("forecast_consumer.command", "forecast_consumer.chunk", "forecast_consumer.outbox"),
    *("forecast_consumer.refused_record", "forecast_consumer.role_lease"),
    *("forecast_resultado", "execucao_step_log", "execucao_planejamento", "usuario"),
)


class DiedError(Exception):
    """The process dies between the broker's acknowledgement and its own delete."""


@dataclass(slots=True)
class Broker:
    """``consumer.ports.relay.Publisher`` and its ``Line``: keeps everything."""

    log: list[OutboxMessage] = field(default_factory=list)

    async def line(self) -> Self:
        return self

    async def send(self, messages: Sequence[OutboxMessage]) -> FakeReceipt:
        self.log += messages
        receipt = FakeReceipt([None] * len(messages))
        receipt.done.set()
        return receipt

    async def close(self) -> None:
        """Nothing is ever in doubt."""


class DyingOutbox(SqlOutbox):
    async def delete(self, ids: Sequence[int]) -> None:
        raise DiedError(f"{len(ids)} rows")


class World:
    """Emptied, not made anew, for each example: rows are few, and deleting them takes a millisecond a table."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.store = Store(database)
        self.broker = Broker()
        self.clock = ManualClock()
        self.inbox = SqlInbox(database, COMPOSER, self.clock)

    async def empty(self) -> None:
        self.broker.log.clear()

        for table in _EMPTY:
            await self.store.execute(f"DELETE FROM {table}")

    def queue(self, worker: str) -> SqlCommandQueue:
        return SqlCommandQueue(self.database, COMPOSER, self.clock, lambda _: None, owner=worker, lease_seconds=3600.0)

    async def take(self, records: Sequence[RawRecord], members: int) -> IntakeReport:
        """As many members of the group persist the same batch at once."""
        intake = Intake(self.inbox, COMMAND_TOPICS, no_new_id)
        total = IntakeReport()
        for report in await asyncio.gather(*(intake.take(records) for _ in range(members))):
            total = total.plus(report)
        return total

    async def write(self, lease: Lease, action: Callable[[FencedWork], Awaitable[None]]) -> None:
        async with self.queue("any").fenced(lease) as work:
            await action(work)

    async def relay(self, owner: str, batch: int, *, dies: bool) -> int:
        """One round; a relay that dies leaves its lease to run out. How many messages the broker took."""
        before = len(self.broker.log)
        outbox = (DyingOutbox if dies else SqlOutbox)(self.database, owner=owner)
        options = RelayOptions(batch=batch, lease_seconds=3600.0)
        relay = Relay(outbox, self.broker, options, lambda _: None, lambda _: None, self.clock, CapturedLog().log)
        with suppress(DiedError):
            await relay.run_once()
        return len(self.broker.log) - before

    async def lease_runs_out(self, execucao_id: str) -> None:
        await self.store.execute(
            "UPDATE forecast_consumer.command SET lease_until = clock_timestamp() - interval '1 ms' "
            "WHERE execucao_id = :id AND state = 'running'",
            id=execucao_id,
        )

    async def relays_lease_runs_out(self) -> None:
        await self.store.execute("UPDATE forecast_consumer.role_lease SET expires_at = '-infinity'")

    async def delays_are_over(self) -> None:
        await self.store.execute("UPDATE forecast_consumer.command SET available_at = clock_timestamp()")

    async def retention_passes(self) -> None:
        await self.store.execute("UPDATE forecast_consumer.command SET finished_at = '-infinity' WHERE state = 'done'")
        await self.store.execute("UPDATE forecast_consumer.refused_record SET refused_at = '-infinity'")
        while await SqlArchive(self.database).prune(30.0, 3):
            pass

    async def statuses(self) -> dict[str, str]:
        return dict(await self.store.rows("SELECT id, status::text FROM execucao_planejamento"))

    async def commands(self) -> dict[tuple[str, str], str]:
        rows = await self.store.rows("SELECT source, event_id, execucao_id FROM forecast_consumer.command")
        return {(source, event_id): name for source, event_id, name in rows}

    async def standings(self) -> dict[str, tuple[Any, ...]]:
        """Of each attached execution: state, epoch, attempt and counters."""
        rows = await self.store.rows(
            "SELECT execucao_id, state, lease_epoch, attempt, status_sequence, step_sequence, products_processed "
            "FROM forecast_consumer.command WHERE comando <> 'cancel'"
        )
        return {row[0]: row[1:] for row in rows}

    async def results(self) -> Counter[tuple[str, str]]:
        """Rows by execution and product; no week and target twice."""
        rows = await self.store.rows("SELECT execucao_id, produto_id, periodo, target_type FROM forecast_resultado")
        assert len(rows) == len(set(rows))
        return Counter((row[0], row[1]) for row in rows)

    async def both_ways(self) -> list[tuple[Any, ...]]:
        """Records that have a command row and a dead letter."""
        return await self.store.rows(
            "SELECT c.event_id FROM forecast_consumer.command AS c JOIN forecast_consumer.refused_record AS r "
            'ON (c.origin_topic, c.origin_partition, c.origin_offset) = (r.topic, r.partition, r."offset")'
        )


def bad_record(offset: int, number: str | None) -> RawRecord:
    """Unreadable, or readable with the execution that it names."""
    if number is None:
        return record(value=b"\xff", offset=offset)
    return record(data={"execucao_id": number, "horizonte_semanas": 0}, event_id=f"b{offset}", offset=offset)
