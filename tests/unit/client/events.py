"""Events as the service makes them, and as a record of a reply topic."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from consumer.client.events import Event, read_event
from schemas.enums import CommandKind, EventType, GatilhoExecucao, RejectionCode, StatusExecucao, StepStatus
from schemas.errors import FieldError
from schemas.events import CommandRejected, ErrorInfo, ExecutionStatusChanged, Progress, StepLogged
from schemas.records import RawRecord
from schemas.replies import ReplyHeaders, event_id

if TYPE_CHECKING:
    from consumer.client.events import Body

NOW = datetime(2026, 11, 23, 12, 0, 0, 250_000, tzinfo=UTC)
EXECUTION = "0190b2c4-7b1e-7cc3-98c4-dc0c0c07398f"
COMMAND = "command-1"
SOURCE = "/forecast-consumer/client"


def status(
    state: str, sequence: int, *, percent: int | None = None, error: str | None = None
) -> ExecutionStatusChanged:
    progress = None
    if percent is not None:
        progress = Progress(
            percent=percent,
            step=4,
            total_steps=10,
            step_name="execute_ets",
            products_processed=800,
            products_total=2000,
            eta_seconds=12.5,
        )
    return ExecutionStatusChanged(
        execucao_id=EXECUTION,
        comando=CommandKind.TRAIN,
        status=StatusExecucao(state),
        sequence=sequence,
        attempt=1,
        gatilho=GatilhoExecucao.MANUAL,
        progress=progress,
        error=None if error is None else ErrorInfo(code=error, message="no product has data"),
        occurred_at=NOW,
    )


def step(order: int, state: str, sequence: int, **fields: Any) -> StepLogged:
    return StepLogged(
        execucao_id=EXECUTION,
        comando=CommandKind.TRAIN,
        sequence=sequence,
        attempt=1,
        step_name="finalize" if order == 10 else "execute_ets",
        step_order=order,
        total_steps=10,
        status=StepStatus(state),
        occurred_at=NOW,
        **fields,
    )


def rejection(command_id: str = COMMAND, source: str = SOURCE) -> CommandRejected:
    error = FieldError("priority", RejectionCode.OUT_OF_RANGE, "priority is the integer 12; it must be from 0 to 9")
    return CommandRejected(
        source=source, id=command_id, topic="forecast.train", partition=2, offset=17, errors=(error,), occurred_at=NOW
    )


def record(body: Body, *, causation_id: str | None = COMMAND, topic: str = "forecast.status") -> RawRecord:
    """A record as the service sends it."""
    if isinstance(body, CommandRejected):
        name, kind = f"{body.topic}/{body.offset}:rejected", EventType.COMMAND_REJECTED
    elif isinstance(body, StepLogged):
        name, kind = event_id(body.execucao_id, "step", body.sequence), EventType.STEP_LOG
    else:
        name, kind = event_id(body.execucao_id, "status", body.sequence), EventType.STATUS
    common = ReplyHeaders(subject=body.execucao_id, correlation_id="corr-1", causation_id=causation_id)
    headers = common.of(name, kind, body.occurred_at)
    key = (body.execucao_id or "key").encode()
    return RawRecord(topic, 0, 0, 0, key, body.to_json(), headers)


def event(body: Body, *, causation_id: str | None = COMMAND) -> Event:
    return read_event(record(body, causation_id=causation_id))


def of_other_execution(body: ExecutionStatusChanged) -> Event:
    other = body.model_copy(update={"execucao_id": EXECUTION.replace("0190", "0191")})
    return replace(event(body, causation_id="command-2"), body=other)
