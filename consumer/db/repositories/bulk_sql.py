"""Statements that take any number of rows as one array a column, and what turns records into those arrays."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from consumer.db.repositories.records import ExecutionChange, NewExecution, StepLogRow

INSERT_EXECUTIONS: Final = text("""
    INSERT INTO execucao_planejamento (id, tipo, status, gatilho, parametros, created_by)
    SELECT
        id, tipo::"TipoExecucao", status::"StatusExecucao", gatilho::"GatilhoExecucao",
        parametros::jsonb, created_by
    FROM unnest(
        CAST(:id AS text[]), CAST(:tipo AS text[]), CAST(:status AS text[]), CAST(:gatilho AS text[]),
        CAST(:parametros AS text[]), CAST(:created_by AS text[])
    ) AS execution (id, tipo, status, gatilho, parametros, created_by)
    ON CONFLICT (id) DO NOTHING
    RETURNING id
""")
# In the order of ids: two transactions that lock some of the same rows then never wait for each other.
LOCK_EXECUTIONS: Final = text(
    "SELECT id, status::text FROM execucao_planejamento WHERE id = ANY(:ids) ORDER BY id FOR UPDATE"
)
CHANGE_SQL: Final = """
    WITH unfinished AS MATERIALIZED (
        SELECT id FROM execucao_planejamento
        WHERE id = ANY(CAST(:change_id AS text[])) AND status IN ('PENDENTE', 'EXECUTANDO') ORDER BY id FOR UPDATE
    )
    UPDATE execucao_planejamento AS execution
    SET status = coalesce(change.status::"StatusExecucao", execution.status),
        started_at = coalesce(change.started_at, execution.started_at),
        completed_at = coalesce(change.completed_at, execution.completed_at),
        resultado_resumo = coalesce(change.resultado_resumo::jsonb, execution.resultado_resumo),
        error_message = coalesce(change.error_message, execution.error_message)
    FROM unnest(
        CAST(:change_id AS text[]), CAST(:change_status AS text[]), CAST(:change_started_at AS timestamptz[]),
        CAST(:change_completed_at AS timestamptz[]), CAST(:change_resultado_resumo AS text[]),
        CAST(:change_error_message AS text[])
    ) AS change (id, status, started_at, completed_at, resultado_resumo, error_message)
    JOIN unfinished USING (id)
    WHERE execution.id = unfinished.id
    RETURNING execution.id
"""
CHANGE_EXECUTIONS: Final = text(CHANGE_SQL)
EXISTING_USERS: Final = text("SELECT id FROM usuario WHERE id = ANY(:ids)")
INSERT_STEPS_SQL: Final = """
    INSERT INTO execucao_step_log (
        execucao_id, step_name, step_order, status, records_processed, duration_ms, details, started_at,
        completed_at
    )
    SELECT
        execucao_id, step_name, step_order, status, records_processed, duration_ms, details::jsonb,
        started_at, completed_at
    FROM unnest(
        CAST(:step_execucao_id AS text[]), CAST(:step_name AS text[]), CAST(:step_order AS smallint[]),
        CAST(:step_status AS text[]), CAST(:step_records_processed AS bigint[]), CAST(:step_duration_ms AS integer[]),
        CAST(:step_details AS text[]), CAST(:step_started_at AS timestamptz[]),
        CAST(:step_completed_at AS timestamptz[])
    ) WITH ORDINALITY AS step (
        execucao_id, step_name, step_order, status, records_processed, duration_ms, details, started_at,
        completed_at, place
    )
    ORDER BY place
    RETURNING id, execucao_id, step_order
"""
INSERT_STEPS: Final = text(INSERT_STEPS_SQL)
UPDATE_STEPS_SQL: Final = """
    UPDATE execucao_step_log AS log
    SET status = step.status, records_processed = step.records_processed, duration_ms = step.duration_ms,
        details = step.details::jsonb, started_at = step.started_at, completed_at = step.completed_at
    FROM unnest(
        CAST(:log_id AS bigint[]), CAST(:log_execucao_id AS text[]), CAST(:log_status AS text[]),
        CAST(:log_records_processed AS bigint[]), CAST(:log_duration_ms AS integer[]), CAST(:log_details AS text[]),
        CAST(:log_started_at AS timestamptz[]), CAST(:log_completed_at AS timestamptz[])
    ) AS step (
        id, execucao_id, status, records_processed, duration_ms, details, started_at, completed_at
    )
    WHERE log.id = step.id AND log.execucao_id = step.execucao_id
    RETURNING log.id
"""
UPDATE_STEPS: Final = text(UPDATE_STEPS_SQL)

_encode: Final = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode
_EXECUTION_TEXTS: Final = ("id", "tipo", "status", "gatilho", "created_by")
_STEP_CHANGES: Final = (
    *("execucao_id", "status", "records_processed", "duration_ms"),
    *("started_at", "completed_at"),
)


def execution_arrays(executions: Sequence[NewExecution]) -> dict[str, list[Any]]:
    """Parameters of ``INSERT_EXECUTIONS``."""
    arrays = _arrays(executions, _EXECUTION_TEXTS)
    return {**arrays, "parametros": [json_text(execution.parametros) for execution in executions]}


def change_arrays(changes: Sequence[ExecutionChange]) -> dict[str, list[Any]]:
    """Parameters of ``CHANGE_EXECUTIONS``. PostgreSQL's text holds no NUL, which a library's message may have."""
    messages = [change.error_message and change.error_message.replace("\0", "") for change in changes]
    return {
        **_arrays(changes, ("id", "status", "started_at", "completed_at"), "change_"),
        "change_resultado_resumo": [json_text(change.resultado_resumo) for change in changes],
        "change_error_message": messages,
    }


def new_step_arrays(rows: Sequence[StepLogRow]) -> dict[str, list[Any]]:
    """Parameters of ``INSERT_STEPS``."""
    return _step_arrays(rows, ("step_name", "step_order", *_STEP_CHANGES), "step_")


def step_arrays(rows: Sequence[StepLogRow]) -> dict[str, list[Any]]:
    """Parameters of ``UPDATE_STEPS``."""
    return _step_arrays(rows, ("id", *_STEP_CHANGES), "log_")


def require_logged(rows: Sequence[StepLogRow], updated: Iterable[int]) -> None:
    """Refuse an update of rows that are not there.

    Raises:
        LookupError: A row's id is none of those that ``UPDATE_STEPS`` returned.
    """
    missing = sorted({row.id for row in rows if row.id is not None} - set(updated))
    if missing:
        raise LookupError(f"step logs {missing} do not exist or belong to other executions")


def json_text(value: Mapping[str, Any] | None) -> str | None:
    """JSON for a jsonb column.

    Raises:
        ValueError: A number in it is not finite, which JSON cannot say.
    """
    return None if value is None else _encode(dict(value))


def _step_arrays(rows: Sequence[StepLogRow], names: Sequence[str], prefix: str) -> dict[str, list[Any]]:
    arrays = {prefix + name.removeprefix("step_"): [getattr(row, name) for row in rows] for name in names}
    return {**arrays, f"{prefix}details": [json_text(row.details) for row in rows]}


def _arrays(rows: Sequence[object], names: Sequence[str], prefix: str = "") -> dict[str, list[Any]]:
    return {prefix + name: [getattr(row, name) for row in rows] for name in names}
