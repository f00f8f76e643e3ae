"""What executions recorded becomes rows: steps, statuses, counters and events, in one statement each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from consumer.db.command_rows import steps_to_json
from consumer.db.outbox import insert_messages
from consumer.db.repositories.execution_repo import ExecutionRepository
from consumer.db.repositories.records import ExecutionChange, StepLogRow
from consumer.db.told import last_words
from schemas.enums import StatusExecucao

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from consumer.clock import Clock
    from consumer.model import Execution
    from consumer.outbound import Cause, Composer
    from consumer.steps import Step

_COUNTERS: Final = ("execucao_id", "status_sequence", "step_sequence", "products_processed", "products_total")
_SAVE: Final = text("""
    UPDATE forecast_consumer.command AS c
       SET status_sequence = saved.status_sequence, step_sequence = saved.step_sequence,
           products_processed = saved.products_processed, products_total = saved.products_total,
           steps = saved.steps::jsonb, told = c.told || saved.told::jsonb,
           state = CASE WHEN saved.terminal THEN 'done' ELSE c.state END,
           finished_at = CASE WHEN saved.terminal THEN now() ELSE c.finished_at END,
           lease_until = CASE WHEN saved.terminal THEN NULL ELSE c.lease_until END
      FROM unnest(cast(:execucao_id AS text[]), cast(:status_sequence AS int[]), cast(:step_sequence AS int[]),
                  cast(:products_processed AS int[]), cast(:products_total AS int[]), cast(:steps AS text[]),
                  cast(:told AS text[]), cast(:terminal AS boolean[]))
        AS saved(execucao_id, status_sequence, step_sequence, products_processed, products_total, steps, told, terminal)
     WHERE c.execucao_id = saved.execucao_id AND c.comando <> 'cancel'""")


async def save_execution(
    session: AsyncSession, execution: Execution, cause: Cause, composer: Composer, clock: Clock
) -> None:
    """Write everything that changed in an execution whose command row is locked by this transaction."""
    await save_executions(session, [(execution, cause)], composer, clock)


async def save_executions(
    session: AsyncSession, saved: Sequence[tuple[Execution, Cause]], composer: Composer, clock: Clock
) -> None:
    """The same for executions that are all locked, in as many statements as for one."""
    executions = [execution for execution, _ in saved]
    repository = ExecutionRepository(session)
    await _save_steps(repository, executions)
    await repository.change_many([_change(one, clock) for one in executions if one.moved_from is not None])
    composed = [list(zip(one.events, composer.compose_all(one.events, cause), strict=True)) for one, cause in saved]
    told = [last_words((event, messages[0].value or b"") for event, messages in some) for some in composed]
    parameters: dict[str, list[Any]] = {name: [getattr(one, name) for one in executions] for name in _COUNTERS}
    parameters["steps"] = [json.dumps(steps_to_json(one.steps)) for one in executions]
    parameters["told"] = [json.dumps(words) for words in told]
    parameters["terminal"] = [one.terminal for one in executions]
    await session.execute(_SAVE, parameters)
    await insert_messages(session, [message for some in composed for _, messages in some for message in messages])


async def _save_steps(repository: ExecutionRepository, executions: Sequence[Execution]) -> None:
    touched = [(execution, step) for execution in executions for step in sorted(execution.touched_steps)]
    if not touched:
        return
    ids = await repository.write_step_logs([_step_row(execution, step) for execution, step in touched])
    for (execution, step), log_id in zip(touched, ids, strict=True):
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


def _change(execution: Execution, clock: Clock) -> ExecutionChange:
    """How the backend's row follows the aggregate."""
    if not execution.terminal:
        began = execution.moved_from is StatusExecucao.PENDENTE
        return ExecutionChange(execution.execucao_id, execution.status, started_at=clock.now() if began else None)
    return ExecutionChange(
        execution.execucao_id,
        execution.status,
        completed_at=clock.now(),
        resultado_resumo=execution.resultado_resumo,
        error_message=execution.error.message if execution.error else None,
    )
