from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.model import ExecutionId
from consumer.received import receive
from consumer.replay.letters import NoDeadLetterError, read_letter
from schemas.enums import TopicKind
from schemas.records import RawRecord
from schemas.replies import dead_letter_headers
from tests.builders import record

NAMES = st.sampled_from(["dlq-reason", "dlq-topic", "ce_id", "idempotency-key", "x"])
HEADERS = st.lists(st.tuples(NAMES, st.none() | st.binary(max_size=8)), max_size=5).map(tuple)
RAW = st.builds(
    RawRecord,
    topic=st.just("forecast.predict"),
    partition=st.integers(0, 9),
    offset=st.integers(0, 2**40),
    timestamp_ms=st.integers(-1, 2**42),
    key=st.none() | st.binary(max_size=8),
    value=st.binary(max_size=20),
    headers=HEADERS,
)


def letter_of(raw: RawRecord, reason: str = "unknown-user") -> RawRecord:
    """The record as it stands on the dead-letter topic."""
    headers = dead_letter_headers(raw, reason, ["why"])
    return RawRecord("forecast.dlq", 1, 77, 5_000, raw.key, raw.value, headers)


@given(raw=RAW)
def test_original_comes_back_byte_for_byte(raw: RawRecord) -> None:
    """Whatever a record holds, also headers named like ours, its dead letter gives back that very record."""
    letter = read_letter(letter_of(raw))
    assert (letter.original, letter.reason, letter.error) == (raw, "unknown-user", "why")


STRUCTURED = {"specversion": "1.0", "id": "s", "source": "/x", "type": "forecast.predict", "data": {}}


@pytest.mark.parametrize(
    "raw",
    [
        record(event_id="a", offset=3),
        record(offset=3),
        record(offset=3, headers={"idempotency-key": "mine"}),
        record(data=STRUCTURED, offset=3, headers={"content-type": "application/cloudevents+json"}),
        record(value=b"?", offset=3),
    ],
    ids=["binary", "plain", "idempotency-key", "structured", "unreadable"],
)
def test_record_put_back_has_the_identity_that_it_had(raw: RawRecord) -> None:
    """At its new position a record is the same command as at its old one, whatever identifies it."""
    letter = read_letter(letter_of(raw))
    back = letter.put_back()
    assert (back.topic, back.key, back.value) == (raw.topic, raw.key, raw.value)
    assert back.headers[: len(raw.headers)] == raw.headers
    moved = RawRecord(back.topic, 5, 999, 123_456, back.key, back.value, back.headers)
    assert identity(moved) == identity(raw) == letter.identity


def identity(raw: RawRecord) -> tuple[str, str]:
    item = receive(raw, TopicKind.PREDICT, lambda: ExecutionId(""))
    return item.envelope.source, item.envelope.id


@pytest.mark.parametrize("headers", [(), (("dlq-reason", b"x"),), (("dlq-reason", None), ("dlq-topic", b"t"))])
def test_foreign_record_is_told_apart(headers: tuple[tuple[str, bytes | None], ...]) -> None:
    """A record that does not say from where it came is no dead letter of ours."""
    raw = RawRecord("forecast.dlq", 2, 8, 0, None, json.dumps({}).encode(), headers)
    with pytest.raises(NoDeadLetterError, match=r"forecast\.dlq/2/8 is no dead letter"):
        read_letter(raw)
