"""The command table as the workers use it: claim, heartbeat, hand back, and read the stored plan."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog
from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import JSONB

from consumer.db.champions import read_champion
from consumer.db.claims import begin_claimed, read_claims
from consumer.db.command_rows import EXECUTION_SQL
from consumer.db.errors import transient_errors
from consumer.db.fenced import SqlFencedWork, open_fenced
from consumer.db.group_commit import GroupCommit, lease_lost
from consumer.db.heartbeat import extend_leases
from consumer.db.own_tables import chunk
from consumer.db.repositories.forecast_repo import ForecastRepository, write_down
from consumer.db.saving import save_executions
from consumer.db.shared_reading import SharedReading
from consumer.errors import TransientError
from consumer.forecasting.planning import products_from_json
from consumer.ports.fenced import ResultRows
from consumer.ports.queue import ChunkProgress
from consumer.steps import Step

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from structlog.typing import FilteringBoundLogger

    from consumer.clock import Clock
    from consumer.db.claims import Unreadable
    from consumer.db.database import Database
    from consumer.forecasting.champion import Champion
    from consumer.forecasting.types import PlannedProduct, ProductForecast
    from consumer.model import Execution, ExecutionId, Lease
    from consumer.outbound import Composer
    from consumer.ports.fenced import FencedWork
    from consumer.ports.queue import Claim, LeaseState

# Leases are judged by the database's clock alone: the clocks of the processes may be hours apart.
# Driven by the few that are lost: as a semi-join it was planned for one running command and took the square of them.
RESCUE: Final = text("""
    WITH lost AS MATERIALIZED (
        SELECT source, event_id FROM forecast_consumer.command
         WHERE state = 'running' AND lease_until < clock_timestamp() FOR UPDATE SKIP LOCKED)
    UPDATE forecast_consumer.command AS c SET state = 'queued', lease_owner = NULL, lease_until = NULL
      FROM lost WHERE c.source = lost.source AND c.event_id = lost.event_id
 RETURNING c.execucao_id""")
_CLAIM: Final = """
    WITH due AS MATERIALIZED (
        SELECT source, event_id FROM forecast_consumer.command
         WHERE state = 'queued' AND available_at <= clock_timestamp()
         ORDER BY priority, received_at, origin_partition, origin_offset LIMIT :limit FOR UPDATE SKIP LOCKED)
    UPDATE forecast_consumer.command AS c
       SET state = 'running', lease_owner = :owner, lease_epoch = c.lease_epoch + 1, attempt = c.attempt + 1,
           lease_until = clock_timestamp() + make_interval(secs => :lease_seconds)
      FROM due WHERE c.source = due.source AND c.event_id = due.event_id
 RETURNING {columns}, c.payload, c.plan, c.source, c.lease_epoch, c.priority,
           c.received_at, c.origin_topic, c.origin_partition, c.origin_offset,
           coalesce(c.expires_at <= clock_timestamp(), false) AS expired"""
_CLAIM_ROWS: Final = text(_CLAIM.format(columns=EXECUTION_SQL)).columns(payload=JSONB, plan=JSONB, steps=JSONB)
UNREADABLE_SECONDS: Final = 60.0
RESCUE_SECONDS: Final = 1.0
_LEAVE: Final = text("""
    UPDATE forecast_consumer.command
       SET state = 'queued', lease_owner = NULL, lease_until = NULL, attempt = attempt - 1,
           available_at = clock_timestamp() + make_interval(secs => :delay)
     WHERE execucao_id = ANY(cast(:ids AS text[])) AND state = 'running'""")
_HAND_BACK: Final = text("""
    UPDATE forecast_consumer.command
       SET state = 'queued', lease_owner = NULL, lease_until = NULL, attempt = attempt - :uncounted,
           available_at = clock_timestamp()
               + CASE WHEN cancel_reason IS NULL THEN make_interval(secs => :delay) ELSE interval '0' END
     WHERE execucao_id = :execucao_id AND lease_epoch = :epoch AND state = 'running'""")


class SqlCommandQueue:
    """``consumer.ports.queue.CommandQueue`` on PostgreSQL; ``committed`` hears of every execution that was saved.

    ``heartbeat`` is a connection of its own, so that leases live on while every other connection is taken.
    Commands of dead processes are looked for at most every ``rescue_seconds``.
    """

    def __init__(
        self,
        database: Database,
        composer: Composer,
        clock: Clock,
        committed: Callable[[Execution], None],
        *,
        owner: str,
        lease_seconds: float,
        max_attempts: int = 5,
        heartbeat: Database | None = None,
        rescue_seconds: float = RESCUE_SECONDS,
        log: FilteringBoundLogger | None = None,
    ) -> None:
        self._database = database
        self._heartbeat = heartbeat or database
        self._composer = composer
        self._clock = clock
        self._committed = committed
        self._owner = owner
        self._lease_seconds = lease_seconds
        self._champions: dict[str, SharedReading[Champion | None]] = {}
        self._group = GroupCommit(self._fenced)
        self._max_attempts = max_attempts
        self._rescue_seconds = rescue_seconds
        self._rescue_at = clock.monotonic()
        self._log: FilteringBoundLogger = log or structlog.get_logger(component="queue")

    async def claim(self, limit: int) -> list[Claim]:
        """Take commands that are due, those of dead processes first given back, and begin their executions.

        What only a newer version can read is left to it: queued, no attempt counted, with a pause and a warning.
        """
        claims: list[Claim] = []
        while len(claims) < limit:
            try:
                some, unreadable = await self._claim(limit - len(claims))
            except TransientError:
                if claims:
                    break  # what we have is ours already
                raise
            claims += some
            for one in unreadable:
                self._log.warning(
                    "command_unreadable",
                    execucao_id=one.execucao_id,
                    field=one.field,
                    error=one.problem,
                    again_in_seconds=UNREADABLE_SECONDS,
                )
            if not unreadable:
                break
        return claims

    async def _claim(self, limit: int) -> tuple[list[Claim], list[Unreadable]]:
        try:
            return await self._claim_and_begin(limit, begin=True)
        except TransientError:
            raise
        except Exception as error:  # noqa: BLE001 - whichever of them cannot begin: each job then tries its own
            self._log.warning("claims_begin_one_by_one", error=str(error))
            return await self._claim_and_begin(limit, begin=False)

    @transient_errors
    async def _claim_and_begin(self, limit: int, *, begin: bool) -> tuple[list[Claim], list[Unreadable]]:
        begun: list[Execution] = []
        now = self._clock.monotonic()
        rescue = now >= self._rescue_at
        async with self._database.transaction() as session:
            if rescue:
                await session.execute(RESCUE)
            parameters = {"limit": limit, "owner": self._owner, "lease_seconds": self._lease_seconds}
            rows = (await session.execute(_CLAIM_ROWS, parameters)).mappings().all()
            claims, unreadable = read_claims(rows)
            if unreadable:
                names = [one.execucao_id for one in unreadable]
                await session.execute(_LEAVE, {"ids": names, "delay": UNREADABLE_SECONDS})
            if begin:
                claims, saved = begin_claimed(claims, rows, self._clock.now(), self._max_attempts)
                await save_executions(session, saved, self._composer, self._clock)
                begun = [execution for execution, _ in saved]
        if rescue:
            self._rescue_at = now + self._rescue_seconds
        for execution in begun:
            self._committed(execution)
        return claims, unreadable

    @transient_errors
    async def extend(self, leases: Sequence[Lease]) -> Mapping[Lease, LeaseState]:
        """On the reserved connection."""
        return await extend_leases(self._heartbeat, leases, self._lease_seconds)

    async def hand_back(self, lease: Lease) -> None:
        """Queue it again at once; the attempt does not count."""
        await self._give_back(lease, delay=0.0, uncounted=1)

    async def retry_later(self, lease: Lease, delay_seconds: float) -> None:
        """Queue it again after the delay; one that is to be cancelled need not wait."""
        await self._give_back(lease, delay=delay_seconds, uncounted=0)

    @asynccontextmanager
    async def fenced(self, lease: Lease) -> AsyncIterator[SqlFencedWork]:
        """A transaction that only the newest lease may write in."""
        async with self._fenced([lease]) as works:
            if lease not in works:
                raise lease_lost(lease)
            yield works[lease]

    async def write(self, lease: Lease, change: Callable[[FencedWork], Awaitable[None]]) -> None:
        """The same, in one transaction with whatever else is to be written at this moment."""
        await self._group.write(lease, change)

    @asynccontextmanager
    async def _fenced(self, leases: Sequence[Lease]) -> AsyncIterator[Mapping[Lease, SqlFencedWork]]:
        async with open_fenced(self._database, self._composer, self._clock, leases) as works:
            yield works
        for work in works.values():
            self._committed(work.execution)

    @transient_errors
    async def chunks(self, execucao_id: ExecutionId) -> list[ChunkProgress]:
        """The stored plan's chunks by number."""
        done = chunk.c.summary.is_not(None).label("done")
        statement = (
            select(chunk.c.number, chunk.c.step_order, chunk.c.size, done)
            .where(chunk.c.execucao_id == execucao_id)
            .order_by(chunk.c.number)
        )
        async with self._database.session() as session:
            rows = await session.execute(statement)
            return [ChunkProgress(row.number, Step(row.step_order), row.size, row.done) for row in rows]

    @transient_errors
    async def chunk_products(self, execucao_id: ExecutionId, number: int) -> tuple[PlannedProduct, ...]:
        """The products of one chunk, as they were planned."""
        statement = select(chunk.c.products).where(chunk.c.execucao_id == execucao_id, chunk.c.number == number)
        async with self._database.session() as session:
            products = await session.scalar(statement)
        return products_from_json(products or ())

    async def write_down(
        self, execucao_id: ExecutionId, horizon: int, forecasts: Sequence[ProductForecast]
    ) -> ResultRows:
        """As COPY takes them."""
        return await write_down(execucao_id, horizon, forecasts) if forecasts else ResultRows()

    async def champion(self, tipo_modelo: str) -> Champion | None:
        """The champion of a type, without a lock: predicts must not wait for each other to look at it."""
        if tipo_modelo not in self._champions:
            self._champions[tipo_modelo] = SharedReading(partial(self._champion, tipo_modelo))
        return await self._champions[tipo_modelo].get()

    @transient_errors
    async def _champion(self, tipo_modelo: str) -> Champion | None:
        async with self._database.reading() as session:
            return await read_champion(ForecastRepository(session), tipo_modelo)

    @transient_errors
    async def _give_back(self, lease: Lease, *, delay: float, uncounted: int) -> None:
        parameters = {
            "execucao_id": lease.execucao_id,
            "epoch": lease.epoch,
            "delay": delay,
            "uncounted": uncounted,
        }
        async with self._database.transaction() as session:
            await session.execute(_HAND_BACK, parameters)
