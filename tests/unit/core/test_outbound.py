from __future__ import annotations

import json

import pytest

from consumer.outbound import Cause
from consumer.received import Refused, receive
from consumer.steps import Step
from schemas.enums import ErrorCode, StatusExecucao, TopicKind
from schemas.records import RawRecord
from tests.builders import COMPOSER, NOW, TOPICS, at, cause, execution, record, reply_headers, uuid

TRACE = f"00-{'a' * 32}-{'b' * 16}-01"


def refusal(raw: RawRecord, kind: str = "predict") -> Refused:
    item = receive(raw, TopicKind(kind), lambda: uuid(99))
    assert isinstance(item, Refused)
    return item


def test_status_event_has_the_envelope_of_the_contract() -> None:
    """A status is a CloudEvent in binary mode, its id deterministic, its key the execution, its cause echoed."""
    made = execution()
    made.accept(at(0))
    [message] = COMPOSER.compose(made.events[0], cause())
    assert (message.topic, message.key, message.partition) == ("forecast.status", uuid(1).encode(), None)
    assert dict(message.headers) == {
        "ce_specversion": b"1.0",
        "ce_id": f"{uuid(1)}:status:1".encode(),
        "ce_source": b"/forecast-consumer",
        "ce_type": b"forecast.status.v1",
        "ce_subject": uuid(1).encode(),
        "ce_time": b"2026-11-23T12:00:00.000Z",
        "ce_correlationid": b"conv-1",
        "ce_causationid": b"cmd-1",
        "traceparent": TRACE.encode(),
        "tracestate": b"vendor=1",
        "content-type": b"application/json",
    }
    assert message.value is not None
    assert json.loads(message.value)["sequence"] == 1


def test_step_event_goes_to_the_step_log_alone() -> None:
    """A step event has its own topic, type and numbering, and no copy for a waiting client."""
    made = execution(status=StatusExecucao.EXECUTANDO)
    made.complete_step(Step.LOAD_DATA, at(0))
    [message] = COMPOSER.compose(made.events[0], cause("web.reply"))
    headers = dict(message.headers)
    assert (message.topic, headers["ce_id"], headers["ce_type"]) == (
        "forecast.step-log",
        f"{uuid(1)}:step:1".encode(),
        b"forecast.step-log.v1",
    )


def test_the_same_event_makes_the_same_bytes() -> None:
    """Composing an event again gives an identical message, so that a second sending is a true duplicate."""
    made = execution()
    made.accept(at(0))
    assert COMPOSER.compose(made.events[0], cause("web.reply", 2)) == COMPOSER.compose(
        made.events[0], cause("web.reply", 2)
    )


def test_events_of_one_execution_composed_together_are_the_same() -> None:
    """What events have in common is made once, and no byte of them changes by that."""
    made = execution()
    made.accept(at(0))
    made.begin(at(1))
    made.start_step(Step.LOAD_DATA, at(2))
    each = [COMPOSER.compose(event, cause("web.reply", 2)) for event in made.events]
    assert COMPOSER.compose_all(made.events, cause("web.reply", 2)) == each
    assert COMPOSER.compose_all([], cause()) == []


def test_waiting_client_gets_each_status_and_the_last_one_completes() -> None:
    """A NestJS client gets a copy on its partition with its correlation id; only the last is marked disposed."""
    made = execution()
    made.accept(at(0))
    made.begin(at(1))
    made.finish(StatusExecucao.CONCLUIDO, at(2), resumo={})
    copies = [COMPOSER.compose(event, cause("web.reply", 3))[1] for event in made.events]
    assert {(copy.topic, copy.partition) for copy in copies} == {("web.reply", 3)}
    assert {dict(copy.headers)["kafka_correlationId"] for copy in copies} == {b"corr-1"}
    disposed = [dict(copy.headers).get("kafka_nest-is-disposed") for copy in copies]
    assert disposed == [None, None, b"\0"]
    for copy in copies:
        assert copy.value is not None
        assert copy.value.startswith(b"{")
        assert not {"key", "value"} & set(json.loads(copy.value))


@pytest.mark.parametrize(
    "topic",
    ["forecast.status", "forecast.dlq", "forecast.train", "__consumer_offsets.reply", "web.answers", "x.reply2"],
)
def test_reply_topic_that_is_not_honoured_gets_nothing(topic: str) -> None:
    """Replies go to no topic of the service's own, no internal one, and none that the pattern does not match."""
    made = execution()
    made.accept(at(0))
    assert [one.topic for one in COMPOSER.compose(made.events[0], cause(topic))] == ["forecast.status"]
    assert not TOPICS.honours(cause(topic).reply)
    assert not TOPICS.honours(None)


def test_bad_record_makes_a_dead_letter_byte_for_byte() -> None:
    """A dead letter has the record's key, value and headers as they came, and says why and from where."""
    raw = RawRecord("forecast.predict", 2, 41, 1700, b"\xff\0key", b"\xff\xfe{", (("x", None), ("x", b"\xff")))
    letter = COMPOSER.refuse(refusal(raw), NOW)[0]
    assert (letter.topic, letter.key, letter.value) == ("forecast.dlq", raw.key, raw.value)
    assert letter.headers[:2] == raw.headers
    named = dict(letter.headers[2:])
    assert {name: named[name] for name in named if name != "dlq-error"} == {
        "dlq-reason": b"invalid-utf8",
        "dlq-topic": b"forecast.predict",
        "dlq-partition": b"2",
        "dlq-offset": b"41",
        "dlq-timestamp": b"1700",
        "dlq-attempts": b"1",
    }
    assert b"UTF-8" in (named["dlq-error"] or b"")


def test_rejection_tells_every_error_and_where_the_record_stands() -> None:
    """A rejection names the fields, the execution if it could be read, and is keyed by it."""
    raw = record(data={"execucao_id": uuid(5), "horizonte_semanas": 60, "modello": "ETS"}, event_id="a", offset=3)
    rejection = COMPOSER.refuse(refusal(raw), NOW)[1]
    assert (rejection.topic, rejection.key) == ("forecast.status", uuid(5).encode())
    assert dict(rejection.headers)["ce_type"] == b"forecast.command-rejected.v1"
    assert dict(rejection.headers)["ce_causationid"] == b"a"
    assert rejection.value is not None
    told = json.loads(rejection.value)
    assert (told["source"], told["id"], told["topic"], told["offset"]) == ("/tests", "a", "forecast.predict", 3)
    assert [(error["path"], error["code"]) for error in told["errors"]] == [
        ("horizonte_semanas", "out-of-range"),
        ("modello", "unknown-field"),
    ]


def test_rejection_without_execution_is_keyed_by_the_identity() -> None:
    """A rejection of a record that names no execution has the command's identity as its key."""
    assert COMPOSER.refuse(refusal(record(value=b"?", event_id="a")), NOW)[1].key == b"/tests:a"
    assert COMPOSER.refuse(refusal(record(value=b"?", offset=4)), NOW)[1].key == b"kafka:forecast.predict:0/4/1004"


def test_waiting_client_gets_the_rejection_as_an_error() -> None:
    """A NestJS client's rejection has a key, a null value and the JSON error in a header."""
    raw = record(data={"priority": 77}, event_id="a", headers=reply_headers("web.reply", 1))
    reply = COMPOSER.refuse(refusal(raw), NOW)[2]
    assert (reply.topic, reply.partition, reply.value) == ("web.reply", 1, None)
    assert reply.key
    headers = dict(reply.headers)
    assert headers["kafka_correlationId"] == b"corr-1"
    assert json.loads(headers["kafka_nest-err"] or b"")["errors"][0]["code"] == "out-of-range"


def test_record_without_key_and_value_still_becomes_a_dead_letter() -> None:
    """The client takes no record with neither key nor value, so such a dead letter has an empty key."""
    raw = RawRecord("forecast.predict", 0, 1, 5, None, None)
    assert COMPOSER.refuse(refusal(raw), NOW)[0].key == b""


def test_events_of_nobody_in_particular_echo_nothing() -> None:
    """Without a cause the optional attributes are left out."""
    made = execution(status=StatusExecucao.EXECUTANDO)
    made.finish(StatusExecucao.ERRO, at(0), error=(ErrorCode.REJECTED, "no"))
    [message] = COMPOSER.compose(made.events[0], Cause())
    assert not {"ce_correlationid", "ce_causationid", "traceparent", "tracestate"} & set(dict(message.headers))
