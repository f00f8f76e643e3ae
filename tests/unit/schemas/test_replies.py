import json
from datetime import UTC, datetime

from schemas.enums import EventType, RejectionCode
from schemas.errors import FieldError
from schemas.events import CommandRejected
from schemas.records import RawRecord
from schemas.replies import (
    ReplyHeaders,
    dead_letter_headers,
    event_id,
    nest_rejection_headers,
    nest_status_headers,
    rejection_id,
    rejection_key,
)
from tests.unit.schemas.wire import EXECUCAO_ID, record

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_ids_are_deterministic() -> None:
    """The id of an event follows from its execution and sequence, that of a rejection from the record."""
    assert event_id(EXECUCAO_ID, "status", 4) == f"{EXECUCAO_ID}:status:4"
    assert event_id(EXECUCAO_ID, "step", 7) == f"{EXECUCAO_ID}:step:7"
    assert rejection_id(record()) == "forecast.predict/2/4711/1700000000000:rejected"


def test_a_rejection_is_keyed_by_its_execution_or_identity() -> None:
    """The execucao_id if it could be read, else source and id."""
    assert rejection_key(EXECUCAO_ID, "/b", "1") == EXECUCAO_ID.encode()
    assert rejection_key(None, "/b", "é") == "/b:é".encode()


def test_reply_headers_are_binary_mode() -> None:
    """Every attribute that is known, as UTF-8, in a fixed order."""
    common = ReplyHeaders(subject="e", correlation_id="é", causation_id="c", traceparent="tp", tracestate="ts")
    assert common.of("e:status:1", EventType.STATUS, NOW) == (
        ("ce_specversion", b"1.0"),
        ("ce_id", b"e:status:1"),
        ("ce_source", b"/forecast-consumer"),
        ("ce_type", b"forecast.status.v1"),
        ("ce_subject", b"e"),
        ("ce_time", b"2026-11-23T12:00:00.000Z"),
        ("ce_correlationid", "é".encode()),
        ("ce_causationid", b"c"),
        ("traceparent", b"tp"),
        ("tracestate", b"ts"),
        ("content-type", b"application/json"),
    )


def test_what_is_unknown_is_left_out() -> None:
    """No empty headers, and no tracestate without its traceparent."""
    headers = ReplyHeaders(subject=None, tracestate="ts").of("x:rejected", EventType.COMMAND_REJECTED, NOW)
    names = [name for name, _ in headers]
    assert names == ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "content-type"]


def test_nest_statuses_end_with_a_zero_byte() -> None:
    """Only the last one is disposed: presence counts."""
    assert nest_status_headers("c", last=False) == (("kafka_correlationId", b"c"),)
    assert nest_status_headers("c", last=True) == (
        ("kafka_correlationId", b"c"),
        ("kafka_nest-is-disposed", b"\x00"),
    )


def test_a_nest_rejection_is_an_error() -> None:
    """kafka_nest-err holds the rejection as JSON."""
    errors = (FieldError("modelo", RejectionCode.INVALID_VALUE, "modelo is bad"),)
    refused = CommandRejected(source="/b", id="1", topic="t", partition=0, offset=0, errors=errors, occurred_at=NOW)
    (correlation, error) = nest_rejection_headers("c", refused)
    assert correlation == ("kafka_correlationId", b"c")
    assert error[0] == "kafka_nest-err"
    assert json.loads(error[1])["errors"][0]["code"] == "invalid-value"


def test_a_dead_letter_keeps_its_headers() -> None:
    """The headers come as they were, null and repeated ones too, then the seven of ours."""
    own = (("a", b"\xff"), ("a", None), ("dlq-reason", b"before"))
    raw = RawRecord("forecast.predict", 2, 4711, -1, b"k", None, own)
    headers = dead_letter_headers(raw, RejectionCode.NULL_VALUE, ["the value is null", "and é"], attempts=3)
    assert headers == (
        *own,
        ("dlq-reason", b"null-value"),
        ("dlq-error", "the value is null; and é".encode()),
        ("dlq-topic", b"forecast.predict"),
        ("dlq-partition", b"2"),
        ("dlq-offset", b"4711"),
        ("dlq-timestamp", b"-1"),
        ("dlq-attempts", b"3"),
    )


def test_the_error_of_a_dead_letter_is_bounded() -> None:
    """At most 1 KiB, cut between characters."""
    error = dict(dead_letter_headers(record(), "x", ["aé" * 1000]))["dlq-error"]
    assert error is not None
    assert 1020 <= len(error) <= 1024
    assert error.decode().startswith("aéaé")
