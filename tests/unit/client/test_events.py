from __future__ import annotations

import json
from dataclasses import replace

import pytest

from consumer.client.events import read_event
from schemas.enums import EventType
from schemas.events import UnreadableEventError
from tests.unit.client.events import COMMAND, EXECUTION, event, record, rejection, status, step


def test_each_type_is_read_as_its_model() -> None:
    """``ce_type`` decides what a record is; attributes and body come out as they went in."""
    for body, kind in (
        (status("PENDENTE", 1), EventType.STATUS),
        (step(4, "RUNNING", 1), EventType.STEP_LOG),
        (rejection(), EventType.COMMAND_REJECTED),
    ):
        read = event(body)
        assert (read.type, read.body, read.causation_id, read.correlation_id) == (kind, body, COMMAND, "corr-1")
        assert read.execucao_id == body.execucao_id


def test_newer_fields_are_ignored() -> None:
    """A field that this version does not know is no reason to fail."""
    raw = record(status("PENDENTE", 1))
    value = json.dumps({**json.loads(raw.value or b""), "novo": 1}).encode()
    assert read_event(replace(raw, value=value)).execucao_id == EXECUTION


@pytest.mark.parametrize("missing", ["ce_type", "ce_id"])
def test_record_without_its_header_is_no_event(missing: str) -> None:
    """Without type or id a record cannot be used, and the error names the header."""
    raw = record(status("PENDENTE", 1))
    headers = tuple(header for header in raw.headers if header[0] != missing)
    with pytest.raises(UnreadableEventError, match=missing):
        read_event(replace(raw, headers=headers))


def test_null_value_is_no_event() -> None:
    """A record without a value is told apart from an event."""
    with pytest.raises(UnreadableEventError):
        read_event(replace(record(status("PENDENTE", 1)), value=None))


def test_end_of_a_command() -> None:
    """A terminal status and a rejection end a command; anything else does not."""
    assert event(status("ERRO", 3)).terminal
    assert event(rejection()).terminal
    assert not event(status("EXECUTANDO", 2)).terminal
    assert not event(step(10, "COMPLETED", 20)).terminal


def test_json_has_attributes_and_data() -> None:
    """As JSON an event keeps what a script needs: id, type, cause, and the data as on the wire."""
    told = event(status("PENDENTE", 1)).as_json()
    assert (told["id"], told["type"], told["causation_id"]) == (f"{EXECUTION}:status:1", "forecast.status.v1", COMMAND)
    assert told["data"]["occurred_at"] == "2026-11-23T12:00:00.250Z"
