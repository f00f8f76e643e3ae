"""What executions recorded becomes rows: steps, statuses, counters and events, one statement for all of it.

New steps that a later transaction will go on with are written before, because their ids are kept beside the command.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from consumer.db.command_rows import steps_to_json
from consumer.db.outbox import MESSAGE_ARRAYS, MESSAGE_COLUMNS, message_arrays, remember, sizes_of
from consumer.db.repositories.bulk_sql import (
    CHANGE_SQL,
    INSERT_STEPS_SQL,
    UPDATE_STEPS_SQL,
    change_arrays,
    new_step_arrays,
    require_logged,
    step_arrays,
)
from consumer.db.repositories.execution_repo import ExecutionRepository
from consumer.db.repositories.records import ExecutionChange, StepLogRow
from consumer.db.told import last_words
from schemas.enums import StatusExecucao

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncSession

    from consumer.clock import Clock
    from consumer.model import Execution
    from consumer.outbound import Cause, Composer
    from consumer.steps import Step

_COUNTERS: Final = ("execucao_id", "status_sequence", "step_sequence", "products_processed", "products_total")
# All rows that it writes hang on commands that the caller has locked, so the order of its parts matters to nobody.
_SAVE: Final = text(f"""
    WITH logged AS ({INSERT_STEPS_SQL}),
    relogged AS ({UPDATE_STEPS_SQL}),
    changed AS ({CHANGE_SQL}),
    counted AS (
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
     WHERE c.execucao_id = saved.execucao_id AND c.comando <> 'cancel'),
    announced AS (
    INSERT INTO forecast_consumer.outbox ({MESSAGE_COLUMNS})
    SELECT {MESSAGE_COLUMNS} FROM {MESSAGE_ARRAYS} WITH ORDINALITY AS message({MESSAGE_COLUMNS}, position)
     ORDER BY position
 RETURNING id)
    SELECT (SELECT array_agg(id ORDER BY id) FROM announced) AS announced,
           (SELECT array_agg(id) FROM relogged) AS relogged""")  # noqa: S608 - made of constants


async def save_execution(
    session: AsyncSession, execution: Execution, cause: Cause, composer: Composer, clock: Clock
) -> None:
    """Write everything that changed in an execution whose command row is locked by this transaction."""
    await save_executions(session, [(execution, cause)], composer, clock)


async def save_executions(
    session: AsyncSession, saved: Sequence[tuple[Execution, Cause]], composer: Composer, clock: Clock
) -> None:
    """The same for executions that are all locked, in as many statements as for one.

    Raises:
        LookupError: The row of a step that was logged before is not in the table.
    """
    if not saved:
        return
    executions = [execution for execution, _ in saved]
    new, logged = await _log_steps(session, executions)
    composed = [list(zip(one.events, composer.compose_all(one.events, cause), strict=True)) for one, cause in saved]
    messages = [message for some in composed for _, made in some for message in made]
    told = [last_words((event, made[0].value or b"") for event, made in some) for some in composed]
    now = clock.now()
    parameters: dict[str, list[Any]] = {name: [getattr(one, name) for one in executions] for name in _COUNTERS}
    parameters["steps"] = [_steps_to_resume(one) for one in executions]
    parameters["told"] = [json.dumps(words) for words in told]
    parameters["terminal"] = [one.terminal for one in executions]
    arrays = message_arrays(messages)
    parameters |= new_step_arrays(new) | step_arrays(logged) | arrays
    parameters |= change_arrays([_change(one, now) for one in executions if one.moved_from is not None])
    row = (await session.execute(_SAVE, parameters)).one()
    require_logged(logged, row.relogged or ())
    remember(session, row.announced or (), messages, sizes_of(arrays))


async def _log_steps(
    session: AsyncSession, executions: Sequence[Execution]
) -> tuple[list[StepLogRow], list[StepLogRow]]:
    """Insert new steps whose ids matter. Left to be written: new ones of executions that end here, and known ones."""
    touched = [(execution, step) for execution in executions for step in sorted(execution.touched_steps)]
    rows = [(execution, step, _step_row(execution, step)) for execution, step in touched]
    kept = [(execution, step, row) for execution, step, row in rows if row.id is None and not execution.terminal]
    if kept:
        ids = await ExecutionRepository(session).write_step_logs([row for _, _, row in kept])
        for (execution, step, _), log_id in zip(kept, ids, strict=True):
            execution.steps[step] = execution.steps[step].logged(log_id)
    new = [row for execution, _, row in rows if row.id is None and execution.terminal]
    return new, [row for _, _, row in rows if row.id is not None]


def _steps_to_resume(execution: Execution) -> str:
    """Nobody goes on with an execution that has ended."""
    return "{}" if execution.terminal else json.dumps(steps_to_json(execution.steps))


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


def _change(execution: Execution, now: datetime) -> ExecutionChange:
    """How the backend's row follows the aggregate."""
    if not execution.terminal:
        began = execution.moved_from is StatusExecucao.PENDENTE
        return ExecutionChange(execution.execucao_id, execution.status, started_at=now if began else None)
    return ExecutionChange(
        execution.execucao_id,
        execution.status,
        completed_at=now,
        resultado_resumo=execution.resultado_resumo,
        error_message=execution.error.message if execution.error else None,
    )
