"""Headers and keys of what goes out: replies in CloudEvents' binary mode, NestJS replies, dead letters."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal

from schemas.enums import EventType, RejectionCode
from schemas.events import CommandRejected, iso_milliseconds
from schemas.records import Headers, RawHeaders, RawRecord

SOURCE: Final = "/forecast-consumer"
MAX_DLQ_ERROR_BYTES: Final = 1024
_SPECVERSION: Final = ("ce_specversion", b"1.0")
_SOURCE: Final = ("ce_source", SOURCE.encode())
_CONTENT_TYPE: Final = ("content-type", b"application/json")


def event_id(execucao_id: str, stream: Literal["status", "step"], sequence: int) -> str:
    """Give a reply's ``ce_id``, ``<execucao_id>:<status|step>:<sequence>``; readers drop duplicates by it."""
    return f"{execucao_id}:{stream}:{sequence}"


def rejection_id(raw: RawRecord) -> str:
    """Give a rejection's ``ce_id``, ``<topic>/<partition>/<offset>/<timestamp>:rejected``."""
    return f"{raw.topic}/{raw.position}:rejected"


def rejection_key(execucao_id: str | None, source: str, command_id: str) -> bytes:
    """Give a rejection's key: the execucao_id if it could be read, else the identity as ``<source>:<id>``."""
    return (execucao_id or f"{source}:{command_id}").encode()


class ReplyHeaders:
    """The headers of events that answer one command; what they have in common is made once. What is None is left out.

    Args:
        subject: The execucao_id, if there is one.
        correlation_id: The command's, echoed.
        causation_id: The command's id.
        traceparent: W3C trace context, continued; ``tracestate`` goes only with it.
        tracestate: See ``traceparent``.
    """

    def __init__(
        self,
        *,
        subject: str | None,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        traceparent: str | None = None,
        tracestate: str | None = None,
    ) -> None:
        optional = (
            ("ce_correlationid", correlation_id),
            ("ce_causationid", causation_id),
            ("traceparent", traceparent),
            ("tracestate", tracestate if traceparent else None),
        )
        self._subject = () if subject is None else (("ce_subject", subject.encode()),)
        self._behind_time = (*((name, text.encode()) for name, text in optional if text is not None), _CONTENT_TYPE)

    def of(self, event_id: str, event_type: EventType, time: datetime) -> Headers:
        """The headers of one event.

        Args:
            event_id: From ``event_id`` or ``rejection_id``.
            event_type: ``ce_type``.
            time: ``ce_time``, aware.
        """
        return (
            _SPECVERSION,
            ("ce_id", event_id.encode()),
            _SOURCE,
            ("ce_type", event_type.encode()),
            *self._subject,
            ("ce_time", iso_milliseconds(time).encode()),
            *self._behind_time,
        )


def nest_status_headers(correlation_id: str, *, last: bool) -> Headers:
    """Build what a NestJS client needs of a status besides; the last one completes its Observable."""
    headers: Headers = (("kafka_correlationId", correlation_id.encode()),)
    return (*headers, ("kafka_nest-is-disposed", b"\x00")) if last else headers


def nest_rejection_headers(correlation_id: str, rejection: CommandRejected) -> Headers:
    """Build what makes a rejection the error of a NestJS client's Observable, and ends it.

    The record's value is null then; give it a key, because aiokafka refuses a record with neither.
    """
    return (("kafka_correlationId", correlation_id.encode()), ("kafka_nest-err", rejection.to_json()))


def dead_letter_headers(
    raw: RawRecord, reason: RejectionCode | str, errors: Sequence[str], attempts: int = 1
) -> RawHeaders:
    """Append to the record's own headers why and from where it became a dead letter.

    Args:
        raw: The record; its headers stay as they came.
        reason: Code of the first error.
        errors: Messages for people; together cut to 1 KiB.
        attempts: How often the record was tried.
    """
    text = "; ".join(errors).encode("utf-8", "backslashreplace")
    error = text[:MAX_DLQ_ERROR_BYTES].decode("utf-8", "ignore")
    pairs = (
        ("dlq-reason", str(reason)),
        ("dlq-error", error),
        ("dlq-topic", raw.topic),
        ("dlq-partition", str(raw.partition)),
        ("dlq-offset", str(raw.offset)),
        ("dlq-timestamp", str(raw.timestamp_ms)),
        ("dlq-attempts", str(attempts)),
    )
    return raw.headers + tuple((name, value.encode()) for name, value in pairs)
