"""What an execution recorded becomes rows: steps, status, counters, events; for the fence, and for intake's cancels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, update

from consumer.db.command_rows import steps_to_json
from consumer.db.outbox import insert_messages
from consumer.db.own_tables import command
from consumer.db.repositories.execution_repo import ExecutionRepository
from consumer.db.repositories.records import StepLogRow
from consumer.db.told import last_words
from schemas.enums import StatusExecucao

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from consumer.clock import Clock
    from consumer.model import Execution
    from consumer.outbound import Cause, Composer
    from consumer.steps import Step


async def save_execution(
    session: AsyncSession, execution: Execution, cause: Cause, composer: Composer, clock: Clock
) -> None:
    """Write everything that changed in an execution whose command row is locked by this transaction."""
    await _save_steps(session, execution)
    if execution.moved_from is not None:
        await _save_status(session, execution, clock)
    composed = [(event, composer.compose(event, cause)) for event in execution.events]
    told = last_words((event, messages[0].value or b"") for event, messages in composed)
    await session.execute(
        update(command)
        .where(command.c.execucao_id == execution.execucao_id, command.c.comando != "cancel")
        .values(
            status_sequence=execution.status_sequence,
            step_sequence=execution.step_sequence,
            steps=steps_to_json(execution.steps),
            products_processed=execution.products_processed,
            products_total=execution.products_total,
            **({"told": command.c.told.concat(told)} if told else {}),
            **({"state": "done", "finished_at": func.now(), "lease_until": None} if execution.terminal else {}),
        )
    )
    await insert_messages(session, [message for _, messages in composed for message in messages])


async def _save_steps(session: AsyncSession, execution: Execution) -> None:
    touched = sorted(execution.touched_steps)
    if not touched:
        return
    rows = [_step_row(execution, step) for step in touched]
    ids = await ExecutionRepository(session).write_step_logs(rows)
    for step, log_id in zip(touched, ids, strict=True):
        execution.steps[step] = execution.steps[step].logged(log_id)


def _step_row(execution: Execution, step: Step) -> StepLogRow:
    state = execution.steps[step]
    return StepLogRow(
        execucao_id=execution.execucao_id,
        step_name=step.wire_name,
        step_order=int(step),
        status=state.status.value,
        records_processed=state.records,
        duration_ms=None if state.completed_at is None else state.duration_ms(state.completed_at),
        details=state.details,
        started_at=state.started_at,
        completed_at=state.completed_at,
        id=state.log_id,
    )


async def _save_status(session: AsyncSession, execution: Execution, clock: Clock) -> None:
    """The backend's row follows the aggregate."""
    changes: dict[str, Any] = {"status": execution.status}
    if execution.moved_from is StatusExecucao.PENDENTE and not execution.terminal:
        changes["started_at"] = clock.now()
    if execution.terminal:
        changes["completed_at"] = clock.now()
        changes["resultado_resumo"] = execution.resultado_resumo
        changes["error_message"] = execution.error.message if execution.error else None
    await ExecutionRepository(session).update(execution.execucao_id, **changes)
