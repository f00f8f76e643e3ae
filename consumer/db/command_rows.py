"""Between a row of the command table and the domain's values."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from consumer.db.own_tables import command
from consumer.model import Execution, ExecutionId
from consumer.outbound import Cause
from consumer.steps import Step, StepState
from schemas.enums import CommandKind, GatilhoExecucao, StatusExecucao, StepStatus
from schemas.records import ReplyTo

if TYPE_CHECKING:
    from sqlalchemy import RowMapping

EXECUTION_COLUMNS: Final = tuple(
    command.c[name]
    for name in (
        "execucao_id",
        "comando",
        "gatilho",
        "attempt",
        "state",
        "status_sequence",
        "step_sequence",
        "steps",
        "products_processed",
        "products_total",
        "replay_of",
        "cancel_reason",
        "event_id",
        "correlation_id",
        "traceparent",
        "tracestate",
        "reply_topic",
        "reply_partition",
        "reply_correlation",
    )
)

EXECUTION_SQL: Final = ", ".join(f"c.{column.name}" for column in EXECUTION_COLUMNS)


def execution_of(row: RowMapping) -> Execution:
    """The aggregate of a row that is locked and not done."""
    begun = row["status_sequence"] > 1  # the first event is PENDENTE, the second EXECUTANDO
    return Execution(
        execucao_id=ExecutionId(row["execucao_id"]),
        comando=CommandKind(row["comando"]),
        gatilho=GatilhoExecucao(row["gatilho"]),
        status=StatusExecucao.EXECUTANDO if begun else StatusExecucao.PENDENTE,
        attempt=row["attempt"],
        status_sequence=row["status_sequence"],
        step_sequence=row["step_sequence"],
        steps=steps_from_json(row["steps"]),
        replay_of=row["replay_of"],
        cancel_reason=row["cancel_reason"],
        products_processed=row["products_processed"],
        products_total=row["products_total"],
    )


def cause_of(row: RowMapping) -> Cause:
    """The command that an execution's events answer."""
    reply = None
    if row["reply_topic"] is not None:
        reply = ReplyTo(
            topic=row["reply_topic"],
            partition=row["reply_partition"],
            correlation_id=row["reply_correlation"],
        )
    return Cause(
        command_id=row["event_id"],
        correlation_id=row["correlation_id"],
        traceparent=row["traceparent"],
        tracestate=row["tracestate"],
        reply=reply,
    )


def steps_to_json(steps: dict[Step, StepState]) -> dict[str, Any]:
    """Compact: one short list a step, keyed by its order."""
    return {
        str(int(step)): [
            state.status.value,
            state.started_at.isoformat(),
            state.completed_at.isoformat() if state.completed_at else None,
            state.records,
            state.products_total,
            state.details,
            state.log_id,
        ]
        for step, state in steps.items()
    }


def steps_from_json(value: dict[str, Any]) -> dict[Step, StepState]:
    """The inverse of ``steps_to_json``; a step that was told has a row in the step log."""
    return {Step(int(order)): _state(entry) for order, entry in value.items()}


def _state(entry: list[Any]) -> StepState:
    status, started, completed, records, total, details, log_id = entry
    return StepState(
        status=StepStatus(status),
        started_at=datetime.fromisoformat(started),
        completed_at=datetime.fromisoformat(completed) if completed else None,
        records=records,
        products_total=total,
        details=details,
        log_id=log_id,
        told=log_id is not None,
    )
