import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.enums import (
    CommandKind,
    ErrorCode,
    EventType,
    GatilhoExecucao,
    RejectionCode,
    StatusExecucao,
    StepStatus,
)
from schemas.errors import FieldError
from schemas.events import (
    CommandRejected,
    ErrorInfo,
    ExecutionStatusChanged,
    Progress,
    StepLogged,
    UnreadableEventError,
    iso_milliseconds,
    parse_rejection,
    parse_status,
    parse_step_log,
)
from schemas.examples import EVENT_EXAMPLES
from tests.unit.schemas.wire import EXECUCAO_ID

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PROGRESS = Progress(
    percent=40,
    step=4,
    total_steps=10,
    step_name="execute_ets",
    products_processed=800,
    products_total=2000,
    eta_seconds=12.5,
)


def status_event(**changes: Any) -> ExecutionStatusChanged:
    fields: dict[str, Any] = {
        "execucao_id": EXECUCAO_ID,
        "comando": CommandKind.TRAIN,
        "status": StatusExecucao.EXECUTANDO,
        "sequence": 4,
        "attempt": 1,
        "gatilho": GatilhoExecucao.MANUAL,
        "progress": PROGRESS,
        "occurred_at": NOW,
    }
    return ExecutionStatusChanged(**(fields | changes))


def step_event(**changes: Any) -> StepLogged:
    fields: dict[str, Any] = {
        "execucao_id": EXECUCAO_ID,
        "comando": CommandKind.TRAIN,
        "sequence": 7,
        "attempt": 1,
        "step_name": "execute_ets",
        "step_order": 4,
        "total_steps": 10,
        "status": StepStatus.COMPLETED,
        "records_processed": 2000,
        "duration_ms": 1840,
        "products_processed": 2000,
        "products_total": 2000,
        "percent": 100,
        "started_at": NOW - timedelta(milliseconds=1840),
        "completed_at": NOW,
        "occurred_at": NOW,
    }
    return StepLogged(**(fields | changes))


def rejection(**changes: Any) -> CommandRejected:
    fields: dict[str, Any] = {
        "source": "/backend",
        "id": "id-1",
        "topic": "forecast.predict",
        "partition": 2,
        "offset": 4711,
        "execucao_id": None,
        "errors": (FieldError("modelo", RejectionCode.INVALID_VALUE, "modelo is bad"),),
        "occurred_at": NOW,
    }
    return CommandRejected(**(fields | changes))


def test_a_status_is_the_contracts_json() -> None:
    """Field by field and in the contract's order."""
    expected = json.dumps(EVENT_EXAMPLES[EventType.STATUS], separators=(",", ":"))
    assert status_event().to_json().decode() == expected


def test_a_step_is_the_contracts_json() -> None:
    """Field by field and in the contract's order."""
    expected = json.dumps(EVENT_EXAMPLES[EventType.STEP_LOG], separators=(",", ":"))
    assert step_event().to_json().decode() == expected


def test_a_rejection_is_the_contracts_json() -> None:
    """Field by field and in the contract's order."""
    assert rejection().to_json().decode() == (
        '{"source":"/backend","id":"id-1","topic":"forecast.predict","partition":2,"offset":4711,'
        '"execucao_id":null,"errors":[{"path":"modelo","code":"invalid-value","message":"modelo is bad"}],'
        '"occurred_at":"2026-11-23T12:00:00.000Z"}'
    )


@pytest.mark.parametrize("status", list(StatusExecucao))
def test_terminal_follows_from_the_status(status: StatusExecucao) -> None:
    """CONCLUIDO, PARCIAL and ERRO end an execution; a contradiction is an error of ours."""
    terminal = status in {"CONCLUIDO", "PARCIAL", "ERRO"}
    assert status_event(status=status).terminal is terminal
    with pytest.raises(ValidationError, match="terminal must be"):
        status_event(status=status, terminal=not terminal)


@pytest.mark.parametrize("event", [status_event(), step_event(), rejection()])
def test_no_event_disturbs_the_nest_parser(event: ExecutionStatusChanged | StepLogged | CommandRejected) -> None:
    """Their parser wants a leading brace and no top-level ``key`` or ``value``."""
    assert event.to_json().startswith(b"{")
    assert not {"key", "value"} & json.loads(event.to_json()).keys()


def test_times_are_utc_with_milliseconds() -> None:
    """Offsets are converted and microseconds cut, as JavaScript writes times."""
    moment = datetime(2026, 11, 23, 9, 0, 0, 123_999, timezone(timedelta(hours=-3)))
    assert iso_milliseconds(moment) == "2026-11-23T12:00:00.123Z"
    assert json.loads(status_event(occurred_at=moment).to_json())["occurred_at"] == "2026-11-23T12:00:00.123Z"


def test_a_naive_time_is_refused() -> None:
    """A time without a zone is a mistake of ours, found where it is made."""
    with pytest.raises(ValidationError, match="timezone"):
        status_event(occurred_at=NOW.replace(tzinfo=None))


def test_what_is_not_finite_never_reaches_the_wire() -> None:
    """JSON has no NaN: in free-form parts it is null, in our own fields an error."""
    assert b'"details":{"mape":null}' in step_event(details={"mape": float("nan")}).to_json()
    with pytest.raises(ValidationError):
        Progress(**(PROGRESS.model_dump() | {"eta_seconds": float("inf")}))


def test_readers_ignore_unknown_fields() -> None:
    """Fields that a newer service adds, on every level, disturb no reader."""
    newer = json.loads(status_event(error=ErrorInfo(code=ErrorCode.EXPIRED, message="late")).to_json())
    newer["added"] = newer["progress"]["added"] = newer["error"]["added"] = 1
    assert parse_status(json.dumps(newer).encode()).error == ErrorInfo(code=ErrorCode.EXPIRED, message="late")
    refused = json.loads(rejection().to_json())
    refused["added"] = refused["errors"][0]["added"] = 1
    assert parse_rejection(json.dumps(refused).encode()) == rejection()


def test_readers_take_codes_they_do_not_know() -> None:
    """A newer service may have more reasons."""
    event = status_event(status=StatusExecucao.ERRO, error=ErrorInfo(code="new-reason", message="m"))
    parsed = parse_status(event.to_json())
    assert parsed.error is not None
    assert parsed.error.code == "new-reason"


@pytest.mark.parametrize("value", [b"", b"[]", b"{}", b"\xff", b'{"execucao_id":1}', b"[" * 10_000])
@pytest.mark.parametrize("parse", [parse_status, parse_step_log, parse_rejection])
def test_what_is_no_event_is_said_so(parse: Any, value: bytes) -> None:
    """One kind of exception, in one line."""
    with pytest.raises(UnreadableEventError, match=r"^no [A-Za-z]+: [^\n]*$"):
        parse(value)


moments = st.datetimes(timezones=st.just(UTC)).map(
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
)
counts = st.none() | st.integers(0, 2**53)
summaries = st.none() | st.dictionaries(st.text(), st.integers() | st.text() | st.booleans())


@given(
    status=st.sampled_from(StatusExecucao),
    sequence=st.integers(1, 2**31),
    summary=summaries,
    message=st.text(),
    moment=moments,
)
def test_statuses_survive_the_wire(
    status: StatusExecucao, sequence: int, summary: dict[str, Any] | None, message: str, moment: datetime
) -> None:
    """What is written is read back equal."""
    error = ErrorInfo(code=ErrorCode.INTERNAL, message=message)
    event = status_event(status=status, sequence=sequence, resultado_resumo=summary, error=error, occurred_at=moment)
    assert parse_status(event.to_json()) == event


@given(records=counts, duration=counts, details=summaries, started=st.none() | moments)
def test_steps_survive_the_wire(
    records: int | None, duration: int | None, details: dict[str, Any] | None, started: datetime | None
) -> None:
    """What is written is read back equal."""
    event = step_event(records_processed=records, duration_ms=duration, details=details or {}, started_at=started)
    assert parse_step_log(event.to_json()) == event


@given(source=st.text(), path=st.text(), code=st.sampled_from(RejectionCode), moment=moments)
def test_rejections_survive_the_wire(source: str, path: str, code: RejectionCode, moment: datetime) -> None:
    """What is written is read back equal."""
    event = rejection(source=source, errors=(FieldError(path, code, path),), occurred_at=moment)
    assert parse_rejection(event.to_json()) == event
