"""All that the database says about one execution, in one read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from consumer.db.models import ForecastMetrica
from consumer.db.own_tables import command
from consumer.db.repositories.execution_repo import ExecutionRepository
from consumer.db.repositories.forecast_repo import ForecastRepository

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from consumer.db.repositories.records import ExecutionRecord, ModelRecord, StepLogRow

_COMMAND = select(
    *(command.c.comando, command.c.state, command.c.attempt, command.c.priority, command.c.source),
    *(command.c.event_id, command.c.origin_topic, command.c.origin_partition, command.c.origin_offset),
    *(command.c.received_at, command.c.available_at, command.c.finished_at, command.c.expires_at),
    *(command.c.lease_owner, command.c.lease_epoch, command.c.lease_until, command.c.cancel_reason),
    *(command.c.products_processed, command.c.products_total, command.c.replay_of, command.c.payload),
)


@dataclass(frozen=True, slots=True)
class ExecutionReport:
    """One execution from all sides.

    Attributes:
        command: Its row of ``forecast_consumer.command``, with the execution that it repeats as ``replay_of``; None if
            the service never took it.
        results: Rows of ``forecast_resultado``.
        metrics: Rows of ``forecast_metrica``.
    """

    execution: ExecutionRecord
    command: dict[str, Any] | None
    steps: list[StepLogRow]
    results: int
    metrics: int
    models: list[ModelRecord]

    def as_json(self) -> dict[str, Any]:
        """The report as one object."""
        return {
            **asdict(self.execution),
            "command": self.command,
            "steps": [asdict(step) for step in self.steps],
            "counts": {"results": self.results, "metrics": self.metrics, "models": len(self.models)},
        }


async def read_report(session: AsyncSession, execucao_id: str) -> ExecutionReport | None:
    """Read the report of an execution; None if there is none of this id."""
    executions, forecasts = ExecutionRepository(session), ForecastRepository(session)
    execution = await executions.get(execucao_id)
    if execution is None:
        return None
    own = _COMMAND.where(command.c.execucao_id == execucao_id, command.c.comando != "cancel")
    row = (await session.execute(own)).mappings().one_or_none()
    metrics = select(func.count()).where(ForecastMetrica.execucao_id == execucao_id)
    return ExecutionReport(
        execution=execution,
        command=None if row is None else dict(row),
        steps=await executions.step_logs(execucao_id),
        results=await forecasts.count_results(execucao_id),
        metrics=int(await session.scalar(metrics) or 0),
        models=await forecasts.list_models(execucao_id=execucao_id),
    )
