import json
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from schemas.commands import canonical_data, canonical_json, data_digest, parse_command
from schemas.enums import TopicKind
from schemas.envelope import ReceivedCommand, receive
from schemas.errors import BadRecord, InvalidCommand
from schemas.events import CommandRejected, parse_rejection
from schemas.json_schema import json_schemas
from schemas.records import RawRecord
from schemas.replies import dead_letter_headers, rejection_key
from tests.unit.schemas.test_events import NOW
from tests.unit.schemas.wire import EXECUCAO_ID, STRUCTURED_HEADER, record, structured

HEADER_NAMES = [
    *("ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "ce_expirytime", "ce_correlationid"),
    *("content-type", "Content-Type", "idempotency-key", "traceparent", "tracestate", "x-other"),
    *("kafka_correlationId", "kafka_replyTopic", "kafka_replyPartition"),
]
FIELD_NAMES = [
    *("execucao_id", "execucaoId", "produto_ids", "produtoIds", "modelo", "gatilho", "created_by", "createdBy"),
    *("priority", "horizonte_semanas", "horizonteSemanas", "holdout_weeks", "forceRetrain", "motivo", "nope"),
]
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([EXECUCAO_ID, "ETS", "MANUAL", 13, 9, 10**400, "a" * 65, "\0"])
)
values = scalars | st.lists(scalars, max_size=3) | st.dictionaries(st.text(), scalars, max_size=3)
objects = st.dictionaries(st.sampled_from(FIELD_NAMES) | st.text(), values, max_size=6)
header_values = (
    st.none()
    | st.binary(max_size=300)
    | st.sampled_from(
        [b"1.0", b"a", b"application/cloudevents+json", b"forecast.predict", b"2026-11-23T12:00:00Z", b"0"]
    )
)
headers = st.lists(st.tuples(st.sampled_from(HEADER_NAMES) | st.text(), header_values), max_size=8).map(tuple)
contents = st.one_of(
    st.none(),
    st.binary(),
    st.text().map(str.encode),
    values.map(lambda value: json.dumps(value).encode()),
    objects.map(lambda data: json.dumps(data).encode()),
    objects.map(lambda data: json.dumps(structured(data=data)).encode()),
)
records = st.builds(
    RawRecord,
    topic=st.just("forecast.predict"),
    partition=st.integers(0, 5),
    offset=st.integers(0, 2**63 - 1),
    timestamp_ms=st.integers(-1, 2**42),
    key=st.none() | st.binary(),
    value=contents,
    headers=headers,
)


def outcome(raw: RawRecord, kind: TopicKind) -> ReceivedCommand | BadRecord:
    try:
        return receive(raw, kind)
    except BadRecord as error:
        return error


@given(records, st.sampled_from(TopicKind))
def test_any_record_is_a_command_or_a_refusal(raw: RawRecord, kind: TopicKind) -> None:
    """Whatever the bytes: a command that can be stored, or a refusal that can be sent; nothing else is raised."""
    result = outcome(raw, kind)
    assert result.envelope is not None
    stored = [result.envelope.source, result.envelope.id, result.envelope.correlation_id or ""]
    assert all("\0" not in text and text == text.encode().decode() for text in stored)
    if isinstance(result, ReceivedCommand):
        assert "\\u0000" not in json.dumps(canonical_data(result.command))
        return
    assert 1 <= len(result.errors) <= 40
    rejection = CommandRejected(
        source=result.envelope.source,
        id=result.envelope.id,
        topic=raw.topic,
        partition=raw.partition,
        offset=raw.offset,
        execucao_id=result.execucao_id,
        errors=result.errors,
        occurred_at=NOW,
    )
    assert parse_rejection(rejection.to_json()) == rejection
    assert len(rejection.to_json()) < 20_000
    assert b"\\u0000" not in rejection.to_json().replace(b"\\\\u0000", b"")
    assert rejection_key(result.execucao_id, result.envelope.source, result.envelope.id)
    letter = dead_letter_headers(raw, result.reason, [error.message for error in result.errors])
    assert letter[: len(raw.headers)] == raw.headers


@given(records)
def test_identity_is_stable(raw: RawRecord) -> None:
    """A record that is delivered again has the same identity and the same digest."""
    first, again = outcome(raw, TopicKind.PREDICT), outcome(replace(raw), TopicKind.PREDICT)
    assert first.envelope == again.envelope
    if isinstance(first, ReceivedCommand) and isinstance(again, ReceivedCommand):
        assert first == again


plain_scalars = scalars.filter(lambda value: not isinstance(value, float))
plain_objects = st.dictionaries(
    st.sampled_from(FIELD_NAMES), plain_scalars | st.lists(plain_scalars, max_size=3), max_size=4
)


@given(data=plain_objects, in_structured_mode=st.booleans(), partition=st.integers(0, 9), offset=st.integers(0))
def test_identity_outlives_the_position(
    data: dict[str, Any], partition: int, offset: int, *, in_structured_mode: bool
) -> None:
    """An event with source and id has that identity in either mode and anywhere in the log, valid or not."""
    content, own = (
        (structured(data=data), STRUCTURED_HEADER)
        if in_structured_mode
        else (data, {"ce_id": b"id-1", "ce_source": b"/backend"})
    )
    raw = replace(record(content, own), partition=partition, offset=offset)
    envelope = outcome(raw, TopicKind.PREDICT).envelope
    assert envelope is not None
    assert (envelope.source, envelope.id) == ("/backend", "id-1")


@given(plain_objects, st.sampled_from(TopicKind))
def test_the_json_schema_takes_what_the_service_takes(data: dict[str, Any], kind: TopicKind) -> None:
    """The published schema and the parser agree about every object (13.0 apart: JSON Schema calls it an integer)."""
    valid = Draft202012Validator(json_schemas()[f"forecast.{kind}"]).is_valid(data)
    try:
        command = parse_command(kind, data)
    except InvalidCommand:
        assert not valid
    else:
        assert valid
        assert data_digest(command) == data_digest(parse_command(kind, canonical_data(command)))
        assert canonical_json(command) == command.model_dump_json()
