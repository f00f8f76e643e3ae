import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.commands import RunForecast
from schemas.enums import TopicKind
from schemas.envelope import read_envelope, receive
from schemas.errors import InvalidCommand, UnreadableRecord
from schemas.records import RawHeaders, RawRecord, ReplyTo
from tests.unit.schemas.wire import (
    EXECUCAO_ID,
    STRUCTURED_HEADER,
    binary_headers,
    record,
    refusal,
    structured,
)

POSITION = ("kafka:forecast.predict", "2/4711/1700000000000")
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def identity(raw: RawRecord) -> tuple[str, str]:
    envelope = receive(raw, TopicKind.PREDICT).envelope
    return envelope.source, envelope.id


def test_binary_mode_gives_attributes_and_data() -> None:
    """Attributes come from headers, the command from the value."""
    headers = binary_headers(
        ce_time=b"2026-11-23T12:00:00.5+01:00",
        ce_expirytime=b"2026-11-23T13:00:00Z",
        ce_correlationid=b"corr",
        ce_causationid="é".encode(),
        traceparent=TRACE.encode(),
        tracestate=b"a=1",
    )
    received = receive(record({"horizonte_semanas": 26}, headers), TopicKind.PREDICT)
    envelope = received.envelope
    assert received.command == RunForecast(horizonte_semanas=26)
    assert (envelope.source, envelope.id, envelope.type) == ("/backend", "id-1", "forecast.predict")
    assert envelope.time == datetime(2026, 11, 23, 11, 0, 0, 500_000, UTC)
    assert envelope.expires_at == datetime(2026, 11, 23, 13, 0, tzinfo=UTC)
    assert (envelope.correlation_id, envelope.causation_id) == ("corr", "é")
    assert (envelope.traceparent, envelope.tracestate) == (TRACE, "a=1")
    assert envelope.reply is None
    assert envelope.warnings == ()


@pytest.mark.parametrize(
    "content_type",
    [b"application/cloudevents+json", b"Application/CloudEvents+JSON; charset=utf-8", b"application/cloudevents"],
)
def test_structured_mode_is_known_by_its_content_type(content_type: bytes) -> None:
    """Case and parameters make no difference; everything comes from the value."""
    event = structured(expirytime="2026-11-23T13:00:00Z", correlationid="corr", traceparent=TRACE, comextension=1)
    received = receive(record(event, {"Content-Type": content_type, "ce_id": b"ignored"}), TopicKind.PREDICT)
    envelope = received.envelope
    assert received.command == RunForecast(horizonte_semanas=26)
    assert (envelope.source, envelope.id, envelope.correlation_id) == ("/backend", "id-1", "corr")
    assert (envelope.expires_at, envelope.traceparent) == (datetime(2026, 11, 23, 13, tzinfo=UTC), TRACE)


def test_structured_data_may_be_base64() -> None:
    """data_base64 holds the JSON text of the data."""
    encoded = base64.b64encode(b'{"horizonteSemanas": 2}').decode()
    raw = record(structured(data=None, data_base64=encoded), STRUCTURED_HEADER)
    assert receive(raw, TopicKind.PREDICT).command == RunForecast(horizonte_semanas=2)


def test_plain_json_needs_no_header() -> None:
    """A hand-written producer sends the data alone."""
    received = receive(record({"horizonte_semanas": 2}), TopicKind.PREDICT)
    assert received.command == RunForecast(horizonte_semanas=2)
    assert (received.envelope.source, received.envelope.id) == POSITION


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (binary_headers(), ("/backend", "id-1")),
        ({"CE_ID": b"i", "Ce_Source": b"s"}, ("s", "i")),
        ({"ce_id": b"i", "ce_source": b"s", "idempotency-key": b"k"}, ("s", "i")),
        ({"idempotency-key": b"k"}, ("kafka:forecast.predict", "k")),
        ({"Idempotency-Key": b"k", "ce_type": b"forecast.predict.v1"}, ("kafka:forecast.predict", "k")),
        ({"ce_correlationid": b"c"}, POSITION),
        ({"ce_id": None, "ce_source": None}, POSITION),
        ({}, POSITION),
    ],
)
def test_identity_follows_the_three_rules(headers: dict[str, bytes | None], expected: tuple[str, str]) -> None:
    """(ce_source, ce_id), else the idempotency key, else the position; no value is as good as no header."""
    assert identity(record({}, headers)) == expected


@pytest.mark.parametrize(
    ("headers", "path", "says"),
    [
        (binary_headers(ce_id=None), "ce_id", "is missing"),
        (binary_headers(ce_source=None), "ce_source", "is missing"),
        (binary_headers(ce_id=b""), "ce_id", 'the string ""'),
        (binary_headers(ce_id=b"\xff"), "ce_id", "not UTF-8"),
        (binary_headers(ce_id=b"a" * 256), "ce_id", "1 to 255 characters"),
        (binary_headers(ce_source=b"a\0"), "ce_source", "control character"),
        (binary_headers(ce_source=b"a\nb"), "ce_source", "control character"),
        (binary_headers(ce_specversion=b"0.3"), "ce_specversion", "must be 1.0"),
        (binary_headers(ce_type=b"\xff"), "ce_type", "not UTF-8"),
        (binary_headers(ce_time=b"yesterday"), "ce_time", "RFC 3339"),
        (binary_headers(ce_time=b"2026-11-23T12:00:00"), "ce_time", "with offset"),
        (binary_headers(ce_time=b"2026-02-30T12:00:00Z"), "ce_time", "RFC 3339"),
        (binary_headers(ce_time=b"0001-01-01T00:00:00+23:59"), "ce_time", "RFC 3339"),
        (binary_headers(ce_time=b"20261123T120000Z"), "ce_time", "RFC 3339"),
        (binary_headers(ce_expirytime=b"3600"), "ce_expirytime", "RFC 3339"),
        (binary_headers(ce_correlationid=b"a" * 256), "ce_correlationid", "255"),
        (binary_headers(ce_causationid=b"\xff"), "ce_causationid", "not UTF-8"),
        ({"idempotency-key": b""}, "idempotency-key", "1 to 255"),
        ({"idempotency-key": b"\xff"}, "idempotency-key", "not UTF-8"),
        ({"kafka_correlationId": b"\xff", "kafka_replyTopic": b"a.reply"}, "kafka_correlationId", "not UTF-8"),
        ({"kafka_correlationId": b"c", "kafka_replyTopic": b"\xff"}, "kafka_replyTopic", "not UTF-8"),
    ],
)
def test_a_broken_envelope_is_refused(headers: dict[str, bytes | None], path: str, says: str) -> None:
    """One error names the header, and the record keeps an identity by its position."""
    refused = refusal(record({"execucao_id": EXECUCAO_ID}, headers))
    (error,) = refused.errors
    assert isinstance(refused, UnreadableRecord)
    assert (error.path, refused.reason) == (path, "invalid-envelope")
    assert says in error.message
    assert refused.execucao_id == EXECUCAO_ID
    assert refused.envelope is not None


@pytest.mark.parametrize("name", ["ce_id", "ce_source"])
def test_half_an_identity_falls_back_to_the_position(name: str) -> None:
    """A rejection has an identity even where the envelope has none."""
    refused = refusal(record({}, binary_headers(**{name: None})))
    assert refused.envelope is not None
    assert (refused.envelope.source, refused.envelope.id) == POSITION


@pytest.mark.parametrize(
    "headers",
    [
        {"ce_id": b"i", "ce_source": b"s"},
        {"ce_id": b"i", "ce_source": b"s", "ce_type": b"forecast.predict.v1"},
        {"content-type": b"\xff"},
        {"content-type": b"text/plain"},
        {"kafka_correlationId": b"\xff\xfe", "x-other": b"\xff", "ce_unknown": b"\xff", "": b"\0"},
    ],
)
def test_what_does_no_harm_is_let_through(headers: RawHeaders | dict[str, bytes | None]) -> None:
    """No type and no version, headers of others with any bytes: the command runs."""
    assert receive(record({}, dict(headers)), TopicKind.PREDICT).command == RunForecast()


def test_a_repeated_header_must_not_contradict_itself() -> None:
    """The same value twice is fine, two different ids are not."""
    assert identity(record({}, binary_headers(), more_headers=(("ce_id", b"id-1"),))) == ("/backend", "id-1")
    refused = refusal(record({}, binary_headers(), more_headers=(("CE_ID", b"id-2"),)))
    assert [(error.path, error.code) for error in refused.errors] == [("ce_id", "invalid-envelope")]
    assert "twice" in refused.errors[0].message


@pytest.mark.parametrize(
    ("event", "path", "code"),
    [
        (structured(id=None, source=None), "id", "invalid-envelope"),
        (structured(id=None), "id", "invalid-envelope"),
        (structured(source=None), "source", "invalid-envelope"),
        (structured(id=5), "id", "invalid-envelope"),
        (structured(specversion="2.0"), "specversion", "invalid-envelope"),
        (structured(specversion=1.0), "specversion", "invalid-envelope"),
        (structured(time=5), "time", "invalid-envelope"),
        (structured(type=[]), "type", "invalid-envelope"),
        (structured(datacontenttype="text/xml"), "datacontenttype", "invalid-envelope"),
        (structured(data=None), "data", "not-an-object"),
        (structured(data="{}"), "data", "not-an-object"),
        (structured(data=None, data_base64="?"), "data_base64", "invalid-envelope"),
        (structured(data=None, data_base64=5), "data_base64", "invalid-envelope"),
        (structured(data=None, data_base64=base64.b64encode(b"[]").decode()), "data_base64", "not-an-object"),
        (structured(data=None, data_base64=base64.b64encode(b"{").decode()), "data_base64", "invalid-json"),
        ([structured()], "value", "not-an-object"),
    ],
)
def test_a_broken_structured_event_is_refused(event: Any, path: str, code: str) -> None:
    """Attributes are spelled as they stand in the event."""
    refused = refusal(record(event, STRUCTURED_HEADER))
    assert isinstance(refused, UnreadableRecord)
    assert [(error.path, error.code) for error in refused.errors] == [(path, code)]


@pytest.mark.parametrize("suffix", [b"-batch+json", b"+avro", b"+xml"])
def test_only_single_json_events_are_read(suffix: bytes) -> None:
    """Batches and other formats are refused by name, not misread."""
    refused = refusal(record(structured(), {"content-type": b"application/cloudevents" + suffix}))
    assert [error.path for error in refused.errors] == ["content-type"]


@pytest.mark.parametrize("event_type", ["forecast.train", "forecast.predict.v2", "Forecast.predict", "x"])
def test_a_type_that_contradicts_the_topic_is_refused(event_type: str) -> None:
    """In both modes, before any field is looked at, with the identity that the envelope has."""
    for raw in (
        record({"execucao_id": EXECUCAO_ID, "nope": 1}, binary_headers(ce_type=event_type.encode())),
        record(structured(type=event_type, data={"execucao_id": EXECUCAO_ID}), STRUCTURED_HEADER),
    ):
        refused = refusal(raw)
        assert isinstance(refused, InvalidCommand)
        assert [error.code for error in refused.errors] == ["type-mismatch"]
        assert refused.envelope is not None
        assert (refused.envelope.id, refused.execucao_id) == ("id-1", EXECUCAO_ID)


def test_an_invalid_command_carries_its_envelope() -> None:
    """Identity, reply address and execution of a command with a bad field are known."""
    headers = binary_headers(kafka_correlationId=b"c", kafka_replyTopic=b"t.reply")
    refused = refusal(record({"execucao_id": EXECUCAO_ID, "modelo": "x"}, headers))
    assert isinstance(refused, InvalidCommand)
    assert refused.envelope is not None
    assert (refused.envelope.id, refused.execucao_id) == ("id-1", EXECUCAO_ID)
    assert refused.envelope.reply == ReplyTo("t.reply", None, "c")


def test_an_unreadable_value_keeps_its_envelope() -> None:
    """Headers are read whatever the value is."""
    headers = binary_headers(kafka_correlationId=b"c", kafka_replyTopic=b"t.reply", kafka_replyPartition=b"3")
    refused = refusal(record(value=None, headers=headers))
    assert refused.reason == "null-value"
    assert refused.envelope is not None
    assert (refused.envelope.source, refused.envelope.id) == ("/backend", "id-1")
    assert refused.envelope.reply == ReplyTo("t.reply", 3, "c")


@pytest.mark.parametrize(
    ("headers", "expected", "warnings"),
    [
        ({"kafka_correlationId": b"c", "kafka_replyTopic": b"t"}, ReplyTo("t", None, "c"), 0),
        ({"kafka_correlationid": b"c", "kafka_replytopic": b"t"}, ReplyTo("t", None, "c"), 0),
        (
            {"kafka_correlationId": b"c", "kafka_replyTopic": b"t", "kafka_replyPartition": b"0"},
            ReplyTo("t", 0, "c"),
            0,
        ),
        (
            {"kafka_correlationId": b"c", "kafka_replyTopic": b"t", "kafka_replyPartition": b"-1"},
            ReplyTo("t", None, "c"),
            1,
        ),
        (
            {"kafka_correlationId": b"c", "kafka_replyTopic": b"t", "kafka_replyPartition": b"\xff"},
            ReplyTo("t", None, "c"),
            1,
        ),
        ({"kafka_correlationId": b"c", "kafka_replyTopic": b"no topic"}, None, 1),
        ({"kafka_correlationId": b"c", "kafka_replyTopic": b"t" * 250}, None, 1),
        ({"kafka_correlationId": b"c"}, None, 0),
        ({"kafka_replyTopic": b"t"}, None, 0),
        ({"kafka_correlationId": b"", "kafka_replyTopic": b"t"}, None, 0),
        ({}, None, 0),
    ],
)
def test_replies_go_where_a_nest_client_waits(
    headers: dict[str, bytes | None], expected: ReplyTo | None, warnings: int
) -> None:
    """Both headers make a request; a bad partition or topic is a warning and never costs the command."""
    envelope = receive(record({}, headers), TopicKind.PREDICT).envelope
    assert envelope.reply == expected
    assert len(envelope.warnings) == warnings


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"traceparent": TRACE.encode()}, (TRACE, None)),
        ({"ce_traceparent": TRACE.encode(), "ce_tracestate": b"a=1"}, (TRACE, "a=1")),
        ({"traceparent": b"00-zz", "tracestate": b"a=1"}, (None, None)),
        ({"traceparent": TRACE.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32).encode()}, (None, None)),
        ({"traceparent": b"\xff"}, (None, None)),
        ({"traceparent": TRACE.encode(), "tracestate": b"a" * 513}, (TRACE, None)),
        ({"tracestate": b"a=1"}, (None, None)),
    ],
)
def test_a_malformed_trace_is_dropped(
    headers: dict[str, bytes | None], expected: tuple[str | None, str | None]
) -> None:
    """The trace context is continued if it can be, and refuses no command."""
    envelope = receive(record({}, headers), TopicKind.PREDICT).envelope
    assert (envelope.traceparent, envelope.tracestate) == expected


def test_read_envelope_leaves_the_data_unvalidated() -> None:
    """The data dictionary is what the producer sent."""
    received = read_envelope(record({"nope": 1}), TopicKind.PREDICT)
    assert received.data == {"nope": 1}


def test_a_cancel_is_read_from_its_topic() -> None:
    """forecast.cancel has its own type and fields."""
    data = json.dumps({"execucaoId": EXECUCAO_ID}).encode()
    raw = RawRecord("forecast.cancel", 0, 0, 0, None, data, (("ce_type", b"forecast.cancel"),))
    assert receive(raw, TopicKind.CANCEL).command.execucao_id == EXECUCAO_ID
