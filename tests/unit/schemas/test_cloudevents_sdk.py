"""The CloudEvents SDK as the judge of our own, faster reading and writing."""

from datetime import UTC, datetime
from typing import Any

from cloudevents.core.bindings import kafka
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from schemas.commands import parse_command
from schemas.enums import EventType, TopicKind
from schemas.envelope import receive
from schemas.events import iso_milliseconds
from schemas.records import RawRecord
from schemas.replies import ReplyHeaders

texts = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=255)
moments = st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
datas = st.fixed_dictionaries(
    {},
    optional={"horizonte_semanas": st.integers(1, 52), "produtoIds": st.lists(texts.map(lambda t: t[:64]), min_size=1)},
)


@st.composite
def events(draw: st.DrawFn) -> CloudEvent:
    attributes: dict[str, Any] = {
        "id": draw(texts),
        "source": draw(texts),
        "type": draw(st.sampled_from(["forecast.predict", "forecast.predict.v1"])),
        "time": draw(moments),
        "datacontenttype": "application/json",
    }
    if draw(st.booleans()):
        attributes |= {"correlationid": draw(texts), "expirytime": iso_milliseconds(draw(moments))}
    return CloudEvent(attributes, draw(datas))


def raw_record(message: kafka.KafkaMessage) -> RawRecord:
    return RawRecord("forecast.predict", 0, 0, 0, None, message.value, tuple(message.headers.items()))


def assert_same(raw: RawRecord, event: CloudEvent) -> None:
    received = receive(raw, TopicKind.PREDICT)
    envelope = received.envelope
    assert (envelope.source, envelope.id, envelope.type) == (
        event.get_source(),
        event.get_id(),
        event.get_type(),
    )
    assert envelope.time == event.get_time()
    assert envelope.correlation_id == event.get_extension("correlationid")
    expiry = event.get_extension("expirytime")
    assert (envelope.expires_at and iso_milliseconds(envelope.expires_at)) == expiry
    data = event.get_data()
    assert isinstance(data, dict)
    assert received.command == parse_command(TopicKind.PREDICT, data)


@given(events())
def test_we_read_binary_events_as_the_sdk_writes_them(event: CloudEvent) -> None:
    """Attributes and data of an event in binary mode arrive unchanged."""
    assert_same(raw_record(kafka.to_binary_event(event)), event)


@given(events())
def test_we_read_structured_events_as_the_sdk_writes_them(event: CloudEvent) -> None:
    """Attributes and data of an event in structured mode arrive unchanged."""
    assert_same(raw_record(kafka.to_structured_event(event)), event)


@given(subject=texts, correlation=st.none() | texts, moment=moments)
def test_the_sdk_reads_our_replies(subject: str, correlation: str | None, moment: datetime) -> None:
    """Our headers are a valid CloudEvent in binary mode."""
    common = ReplyHeaders(subject=subject, correlation_id=correlation)
    headers = common.of(f"{subject}:status:1", EventType.STATUS, moment)
    event = kafka.from_binary_event(kafka.KafkaMessage(dict(headers), None, b'{"sequence":1}'))
    assert (event.get_id(), event.get_subject()) == (f"{subject}:status:1", subject)
    assert (event.get_source(), event.get_type()) == ("/forecast-consumer", "forecast.status.v1")
    assert event.get_extension("correlationid") == correlation
    assert event.get_data() == {"sequence": 1}
    assert event.get_time() == moment.replace(microsecond=moment.microsecond // 1000 * 1000)
