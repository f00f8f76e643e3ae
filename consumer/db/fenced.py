"""The fence: one short transaction of executions that only the holder of each one's newest lease can commit.

The commands' rows are locked first, always; their epochs decide. What the aggregates recorded is saved as step-log
rows, the executions' rows, the commands' counters and outbox messages, all in the one transaction.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import RowMapping, insert, select, text, update
from sqlalchemy.dialects.postgresql import JSONB

from consumer.db.champions import read_champion
from consumer.db.command_rows import EXECUTION_SQL, cause_of, execution_of
from consumer.db.errors import as_transient
from consumer.db.own_tables import chunk, command
from consumer.db.repositories.forecast_repo import ForecastRepository
from consumer.db.repositories.records import NewModel
from consumer.db.saving import save_executions
from consumer.forecasting.planning import products_to_json
from consumer.model import ExecutionId, Lease

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from consumer.clock import Clock
    from consumer.db.database import Database
    from consumer.forecasting.champion import Champion, TrainedModel
    from consumer.forecasting.types import PlannedChunk, ProductMetric
    from consumer.model import Execution
    from consumer.outbound import Composer
    from consumer.ports.fenced import ResultRows
    from consumer.steps import Step

# In the order in which intake locks commands, so that no two transactions wait for each other.
_LOCK: Final = """
    SELECT {columns}, c.lease_epoch
      FROM forecast_consumer.command AS c
      JOIN unnest(cast(:ids AS text[]), cast(:epochs AS bigint[])) AS held(execucao_id, epoch)
        ON c.execucao_id = held.execucao_id AND c.lease_epoch = held.epoch
     WHERE c.state = 'running' AND c.comando <> 'cancel' ORDER BY c.execucao_id FOR UPDATE OF c"""
_LOCK_ROWS: Final = text(_LOCK.format(columns=EXECUTION_SQL)).columns(steps=JSONB)


@asynccontextmanager
async def open_fenced(
    database: Database, composer: Composer, clock: Clock, leases: Sequence[Lease]
) -> AsyncIterator[dict[Lease, SqlFencedWork]]:
    """Lock, check the epochs, let the caller work on what it still holds, save that.

    A lease is left out if another worker has the execution, or if it has ended.

    Raises:
        TransientError: The database is away; whether a commit took place is unknown until the rows are read again.
    """
    with as_transient():
        async with database.transaction() as session:
            rows = await _lock(session, leases)
            works = {lease: SqlFencedWork(session, execution_of(row), clock) for lease, row in rows.items()}
            yield works
            saved = [(works[lease].execution, cause_of(row)) for lease, row in rows.items()]
            await save_executions(session, saved, composer, clock)


async def _lock(session: AsyncSession, leases: Sequence[Lease]) -> dict[Lease, RowMapping]:
    held = {"ids": [lease.execucao_id for lease in leases], "epochs": [lease.epoch for lease in leases]}
    rows = (await session.execute(_LOCK_ROWS, held)).mappings().all()
    return {Lease(ExecutionId(row["execucao_id"]), row["lease_epoch"]): row for row in rows}


class SqlFencedWork:
    """``consumer.ports.fenced.FencedWork`` on one session."""

    def __init__(self, session: AsyncSession, execution: Execution, clock: Clock) -> None:
        self.execution = execution
        self._session = session
        self._forecasts = ForecastRepository(session)
        self._clock = clock

    async def save_plan(self, plan: dict[str, Any], chunks: Sequence[PlannedChunk]) -> None:
        """Write the plan beside the command, the chunks in one statement."""
        execucao_id = self.execution.execucao_id
        await self._session.execute(
            update(command).where(command.c.execucao_id == execucao_id, command.c.comando != "cancel").values(plan=plan)
        )
        if chunks:
            await self._session.execute(insert(chunk), [_chunk_row(execucao_id, planned) for planned in chunks])

    async def save_chunk(self, number: int, summary: dict[str, Any]) -> None:
        """Keep the chunk's summary: from now on it is done."""
        await self._session.execute(
            update(chunk)
            .where(chunk.c.execucao_id == self.execution.execucao_id, chunk.c.number == number)
            .values(summary=summary)
        )

    async def summaries(self, step: Step | None = None) -> list[dict[str, Any]]:
        """In the order of the chunks, so that sums come out the same however they were computed."""
        statement = (
            select(chunk.c.summary)
            .where(chunk.c.execucao_id == self.execution.execucao_id, chunk.c.summary.is_not(None))
            .order_by(chunk.c.number)
        )
        if step is not None:
            statement = statement.where(chunk.c.step_order == int(step))
        return list(await self._session.scalars(statement))

    async def replace_results(self, rows: ResultRows) -> int:
        """Delete and COPY."""
        if not rows.product_ids:
            return 0
        return await self._forecasts.replace_written(self.execution.execucao_id, rows)

    async def replace_metrics(self, metrics: Sequence[ProductMetric]) -> int:
        """Delete and COPY."""
        if not metrics:
            return 0
        return (await self._forecasts.replace_metrics(self.execution.execucao_id, metrics)).nulled

    async def count_results(self) -> int:
        """By the index on execucao_id."""
        return await self._forecasts.count_results(self.execution.execucao_id)

    async def champion(self, tipo_modelo: str) -> Champion | None:
        """Under the lock that gives out versions: two trains must not both replace the same champion."""
        await self._forecasts.lock_type(tipo_modelo)
        return await read_champion(self._forecasts, tipo_modelo)

    async def add_model(self, model: TrainedModel, decision: Mapping[str, Any], *, champion: bool) -> int:
        """Insert with the next version; a promotion demotes the old champion in the same transaction."""
        record = await self._forecasts.add_model(
            NewModel(
                execucao_id=self.execution.execucao_id,
                tipo_modelo=model.tipo_modelo,
                parametros=model.parametros,
                metricas_treino={**model.metricas_treino, "decision": decision},
                arquivo_path=model.arquivo_path,
                treinado_em=self._clock.now(),
            )
        )
        if champion:
            await self._forecasts.promote(record.id)
        return record.versao


def _chunk_row(execucao_id: str, planned: PlannedChunk) -> dict[str, Any]:
    return {
        "execucao_id": execucao_id,
        "number": planned.number,
        "step_order": planned.step_order,
        "products": products_to_json(planned.products),
        "size": len(planned.products),
    }
