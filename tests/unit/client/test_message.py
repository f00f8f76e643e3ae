from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.client.message import Attributes, CommandMessage, compose_command, given_data, kind_of
from schemas.commands import CancelExecution, RunBacktest, RunForecast, TrainForecast, parse_command
from schemas.enums import TopicKind
from schemas.envelope import receive
from schemas.errors import BadRecord
from schemas.records import RawRecord

if TYPE_CHECKING:
    from schemas.commands import Command

NOW = datetime(2026, 11, 23, 12, 0, 0, 250_000, tzinfo=UTC)
EXECUTION = "0190b2c4-7b1e-7cc3-98c4-dc0c0c07398f"


def composed(kind: TopicKind, data: dict[str, Any], **attributes: Any) -> CommandMessage:
    envelope = Attributes(**{"source": "/tests", "id": "c-1", "time": NOW, **attributes})
    return compose_command(kind, data, f"forecast.{kind}", envelope)


def test_headers_are_binary_cloudevents() -> None:
    """The envelope is in the headers as the contract names them; times are UTC with milliseconds."""
    deadline = datetime(2026, 11, 23, 10, 0, tzinfo=timezone(timedelta(hours=-3)))
    message = composed(TopicKind.TRAIN, {}, correlation_id="corr", expires_at=deadline)
    assert dict(message.headers) == {
        "ce_specversion": b"1.0",
        "ce_id": b"c-1",
        "ce_source": b"/tests",
        "ce_type": b"forecast.train.v1",
        "ce_time": b"2026-11-23T12:00:00.250Z",
        "ce_correlationid": b"corr",
        "ce_expirytime": b"2026-11-23T13:00:00.000Z",
        "content-type": b"application/json",
    }


def test_absent_attributes_are_no_headers() -> None:
    """What was not given is left out rather than sent empty."""
    names = {name for name, _ in composed(TopicKind.TRAIN, {}).headers}
    assert not names & {"ce_correlationid", "ce_expirytime"}


@pytest.mark.parametrize(("data", "key"), [({"execucao_id": EXECUTION}, EXECUTION.encode()), ({}, b"c-1")])
def test_key_is_the_execution_or_the_command(data: dict[str, Any], key: bytes) -> None:
    """A command and the cancellation of its execution share a key; without an execution the id spreads them."""
    assert composed(TopicKind.PREDICT, data).key == key


@pytest.mark.parametrize(
    "command",
    [
        TrainForecast(force_retrain=True),
        RunForecast(produto_ids=("a", "ç"), horizonte_semanas=26),
        RunBacktest(),
        CancelExecution(execucao_id=EXECUTION, motivo="typo"),
    ],
    ids=lambda command: type(command).__name__,
)
def test_service_reads_what_was_composed(command: Command) -> None:
    """The record of each command is read back by the service as the same command with the same identity."""
    kind = kind_of(command)
    message = composed(kind, given_data(command))
    read = receive(RawRecord(message.topic, 0, 0, 0, message.key, message.value, message.headers), kind)
    assert read.command == command
    assert (read.envelope.source, read.envelope.id, read.envelope.time) == ("/tests", "c-1", NOW)


def test_only_given_fields_are_sent() -> None:
    """Defaults are the service's to fill in, so that an upgrade of it may change them."""
    assert json.loads(composed(TopicKind.PREDICT, given_data(RunForecast(priority=5))).value) == {"priority": 5}


def test_check_names_every_problem() -> None:
    """A record that the service would reject is refused with the service's own reasons."""
    with pytest.raises(BadRecord) as caught:
        composed(TopicKind.PREDICT, {"horizonte_semanas": 60, "modelo": "ARIMA"}).check()
    assert {error.path for error in caught.value.errors} == {"horizonte_semanas", "modelo"}


def test_check_looks_at_the_envelope_too() -> None:
    """An id that no envelope may have is refused before it is sent."""
    with pytest.raises(BadRecord, match="ce_id"):
        composed(TopicKind.TRAIN, {}, id="x" * 300).check()


@given(st.lists(st.text(min_size=1, max_size=20).filter(lambda text: "\0" not in text), min_size=1, unique=True))
def test_any_product_id_survives(ids: list[str]) -> None:
    """Whatever characters a product's id has, the record carries them."""
    value = composed(TopicKind.TRAIN, {"produto_ids": ids}).value
    command = parse_command(TopicKind.TRAIN, json.loads(value))
    assert isinstance(command, TrainForecast)
    assert command.produto_ids == tuple(ids)
