"""Executions and their steps, one by one for people and in bulk for the service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, func, select

from consumer.db.models import (
    ExecucaoPlanejamento,
    ExecucaoStepLog,
    ForecastMetrica,
    ForecastModelo,
    ForecastResultado,
)
from consumer.db.repositories import bulk_sql
from consumer.db.repositories.records import ExecutionChange, ExecutionRecord, StepLogRow
from schemas.enums import StatusExecucao

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Select
    from sqlalchemy.ext.asyncio import AsyncSession

    from consumer.db.repositories.records import NewExecution
    from schemas.enums import TipoExecucao

_UNFINISHED: Final = (StatusExecucao.PENDENTE, StatusExecucao.EXECUTANDO)
_DEPENDENTS: Final = (ExecucaoStepLog, ForecastResultado, ForecastMetrica, ForecastModelo)


class ExecutionExistsError(ValueError):
    """The id belongs to an execution already."""


class NotDeletableError(ValueError):
    """The execution may not be deleted; the message says why and what would help."""


class ExecutionRepository:
    """Writes and reads ``execucao_planejamento`` and ``execucao_step_log``."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def create(self, execution: NewExecution) -> None:
        """Insert one execution.

        Raises:
            ExecutionExistsError: Its id is taken.
        """
        if not await self.insert_many([execution]):
            raise ExecutionExistsError(f"execution {execution.id} exists already")

    async def insert_many(self, executions: Sequence[NewExecution]) -> set[str]:
        """Insert executions in one statement, leaving out those whose id is taken.

        An unknown ``created_by`` fails all of them: ask ``existing_users`` first.

        Returns:
            The ids that were inserted.
        """
        if not executions:
            return set()
        inserted = await self._session.scalars(bulk_sql.INSERT_EXECUTIONS, bulk_sql.execution_arrays(executions))
        return set(inserted)

    async def get(self, execucao_id: str) -> ExecutionRecord | None:
        """One execution, None if there is none of this id."""
        records = await self._read(select(ExecucaoPlanejamento).where(ExecucaoPlanejamento.id == execucao_id))
        return records[0] if records else None

    async def list_executions(
        self, *, tipo: TipoExecucao | None = None, status: StatusExecucao | None = None, limit: int = 50
    ) -> list[ExecutionRecord]:
        """Executions of a type, of a status, or of both; the newest first."""
        newest_first = (ExecucaoPlanejamento.created_at.desc(), ExecucaoPlanejamento.id.desc())
        query = select(ExecucaoPlanejamento).order_by(*newest_first).limit(limit)
        if tipo is not None:
            query = query.where(ExecucaoPlanejamento.tipo == tipo)
        if status is not None:
            query = query.where(ExecucaoPlanejamento.status == status)
        return await self._read(query)

    async def update(
        self,
        execucao_id: str,
        *,
        status: StatusExecucao | None = None,
        started_at: datetime | None = None,
        completed_at: datetime | None = None,
        resultado_resumo: Mapping[str, Any] | None = None,
        error_message: str | None = None,
    ) -> bool:
        """Change what is given of an execution that has not ended; what is None stays as it is.

        Returns:
            False if there is no such execution or it has ended: a terminal state never changes.
        """
        change = ExecutionChange(execucao_id, status, started_at, completed_at, resultado_resumo, error_message)
        if change == ExecutionChange(execucao_id):
            names = ("status", "started_at", "completed_at", "resultado_resumo", "error_message")
            raise ValueError("nothing to update: give at least one of " + ", ".join(names))
        return await self.change_many([change]) == {execucao_id}

    async def change_many(self, changes: Sequence[ExecutionChange]) -> set[str]:
        """``update`` for executions of different ids, in one statement that locks them in the order of ids.

        Returns:
            The ids that were changed: an execution that is not there or has ended is left out.
        """
        if not changes:
            return set()
        return set(await self._session.scalars(bulk_sql.CHANGE_EXECUTIONS, bulk_sql.change_arrays(changes)))

    async def delete(self, execucao_id: str, *, cascade: bool = False) -> bool:
        """Delete an execution that has ended or never began.

        Args:
            execucao_id: The execution.
            cascade: Delete its step logs, forecasts, metrics and models as well.

        Returns:
            False if there is no such execution.

        Raises:
            NotDeletableError: It runs, it has rows and ``cascade`` is off, or a champion is among its models.
        """
        row = await self._session.get(ExecucaoPlanejamento, execucao_id, with_for_update=True)
        if row is None:
            return False
        if row.status is StatusExecucao.EXECUTANDO or (row.status in _UNFINISHED and row.started_at is not None):
            raise NotDeletableError(f"execution {execucao_id} has begun and not ended: cancel it first")
        await self._check_dependents(execucao_id, cascade=cascade)
        for table in _DEPENDENTS if cascade else ():
            await self._session.execute(delete(table).where(table.execucao_id == execucao_id))
        await self._session.execute(delete(ExecucaoPlanejamento).where(ExecucaoPlanejamento.id == execucao_id))
        return True

    async def lock_many(self, ids: Sequence[str]) -> dict[str, StatusExecucao]:
        """Lock executions until the transaction ends; the status of each that exists."""
        rows = await self._session.execute(bulk_sql.LOCK_EXECUTIONS, {"ids": list(ids)})
        return {execucao_id: StatusExecucao(status) for execucao_id, status in rows}

    async def existing_users(self, ids: Sequence[str]) -> set[str]:
        """Those of the ids that a ``usuario`` has."""
        return set(await self._session.scalars(bulk_sql.EXISTING_USERS, {"ids": list(ids)}))

    async def write_step_logs(self, rows: Sequence[StepLogRow]) -> list[int]:
        """Insert the rows without an id in one statement, and update those with one in another.

        An update leaves ``step_name`` and ``step_order`` as they are.

        Returns:
            The id of each row, in the order given.

        Raises:
            ValueError: Two new rows are for the same step of the same execution.
            LookupError: A row with an id is not in the table, or belongs to another execution.
        """
        ids = await self._insert_steps([row for row in rows if row.id is None])
        await self._update_steps([row for row in rows if row.id is not None])
        return [row.id if row.id is not None else ids[row.execucao_id, row.step_order] for row in rows]

    async def step_logs(self, execucao_id: str) -> list[StepLogRow]:
        """The steps of an execution in their order."""
        table = ExecucaoStepLog
        rows = await self._session.execute(
            select(
                *(table.execucao_id, table.step_name, table.step_order, table.status, table.id),
                *(table.records_processed, table.duration_ms, table.details, table.started_at),
                table.completed_at,
            )
            .where(table.execucao_id == execucao_id)
            .order_by(table.step_order, table.id)
        )
        return [StepLogRow(*row) for row in rows]

    async def _insert_steps(self, rows: Sequence[StepLogRow]) -> dict[tuple[str, int], int]:
        if len({(row.execucao_id, row.step_order) for row in rows}) < len(rows):
            raise ValueError("two new step logs are for the same step: their ids could not be told apart")
        if not rows:
            return {}
        inserted = await self._session.execute(bulk_sql.INSERT_STEPS, bulk_sql.new_step_arrays(rows))
        return {(execucao_id, step_order): log_id for log_id, execucao_id, step_order in inserted}

    async def _update_steps(self, rows: Sequence[StepLogRow]) -> None:
        if not rows:
            return
        updated = await self._session.scalars(bulk_sql.UPDATE_STEPS, bulk_sql.step_arrays(rows))
        bulk_sql.require_logged(rows, updated)

    async def _check_dependents(self, execucao_id: str, *, cascade: bool) -> None:
        counts = [
            select(func.count()).where(table.execucao_id == execucao_id).scalar_subquery() for table in _DEPENDENTS
        ]
        champion = (
            select(func.min(ForecastModelo.tipo_modelo))
            .where(ForecastModelo.execucao_id == execucao_id, ForecastModelo.is_champion)
            .scalar_subquery()
        )
        *found, championed = (await self._session.execute(select(*counts, champion))).one()
        if championed is not None:
            raise NotDeletableError(
                f"execution {execucao_id} trained the champion of {championed}: promote another model first"
            )
        if any(found) and not cascade:
            kinds = zip(found, ("step logs", "forecasts", "metrics", "models"), strict=True)
            rows = ", ".join(f"{count} {kind}" for count, kind in kinds if count)
            raise NotDeletableError(f"execution {execucao_id} has {rows}: delete them with it (cascade) or keep it")

    async def _read(self, query: Select[ExecucaoPlanejamento]) -> list[ExecutionRecord]:
        # Bulk statements change rows behind the session's back, so what it remembers is read anew.
        rows = await self._session.scalars(query.execution_options(populate_existing=True))
        return [_execution_record(row) for row in rows]


def _execution_record(row: ExecucaoPlanejamento) -> ExecutionRecord:
    return ExecutionRecord(
        id=row.id,
        tipo=row.tipo,
        status=row.status,
        gatilho=row.gatilho,
        parametros=row.parametros,
        resultado_resumo=row.resultado_resumo,
        started_at=row.started_at,
        completed_at=row.completed_at,
        error_message=row.error_message,
        created_by=row.created_by,
        created_at=row.created_at,
    )
