"""The attributes of an envelope, from headers or a structured event: texts in, ``Envelope`` and findings out."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from schemas.enums import RejectionCode
from schemas.errors import FieldError
from schemas.excerpts import described
from schemas.records import Envelope, RawRecord, ReplyTo

MAX_TEXT: Final = 255
MAX_TRACESTATE: Final = 512  # what W3C asks every hop to carry

_RFC3339: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_TOPIC: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_PARTITION: Final = re.compile(r"[0-9]{1,9}")


@dataclass(slots=True)
class Findings:
    """What was found wrong so far: errors refuse the record, warnings only go to the log."""

    errors: list[FieldError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def refuse(self, path: str, problem: str) -> None:
        """Note an error of the envelope; ``problem`` continues the sentence that begins with the path."""
        self.errors.append(FieldError(path, RejectionCode.INVALID_ENVELOPE, f"{path} {problem}"))


class Attributes:
    """Attributes, read one by one; ``prefix`` (``ce_``) stands before each name in ``values`` and errors."""

    def __init__(self, values: Mapping[str, Any], prefix: str, findings: Findings) -> None:
        self._values = values
        self._prefix = prefix
        self._findings = findings

    def raw(self, name: str) -> Any:
        """Give what the producer set; null in a structured event is as good as absent. Bytes are no UTF-8."""
        return self._values.get(self._prefix + name)

    def refuse(self, name: str, problem: str) -> None:
        """Note an error of this attribute."""
        self._findings.refuse(self._prefix + name, problem)

    def warn(self, name: str, consequence: str) -> None:
        """Note that an attribute is unusable, which is no reason to refuse the command."""
        self._findings.warnings.append(f"{self._prefix}{name} is {described(self.raw(name))}: {consequence}")

    def text(self, name: str) -> str | None:
        """Give an attribute of 1 to 255 characters without controls; None if absent, or wrong and noted."""
        value = self._values.get(self._prefix + name)
        if value is None:
            return None
        if isinstance(value, str) and 0 < len(value) <= MAX_TEXT and not _has_controls(value):
            return value
        wanted = f"it must be 1 to {MAX_TEXT} characters of UTF-8, none of them a control character"
        self.refuse(name, f"is {described(value)}; {wanted}")
        return None

    def moment(self, name: str) -> datetime | None:
        """Give an RFC 3339 time as UTC; None if absent, or wrong and noted."""
        value = self._values.get(self._prefix + name)
        if value is None:
            return None
        moment = _parse_moment(value) if isinstance(value, str) else None
        if moment is None:
            wanted = "it must be a time with offset, such as 2026-11-23T12:00:00Z (RFC 3339)"
            self.refuse(name, f"is {described(value)}; {wanted}")
        return moment


def _has_controls(text: str) -> bool:
    return not text.isprintable() and _CONTROL.search(text) is not None


def read_attributes(raw: RawRecord, attributes: Attributes, transport: Attributes, findings: Findings) -> Envelope:
    """Read an envelope as far as it can be read.

    Args:
        raw: For the identity of last resort.
        attributes: The event's own, from ``ce_`` headers or from a structured value.
        transport: The record's other headers.
        findings: Collects what is wrong.
    """
    if attributes.raw("specversion") not in (None, "1.0"):
        attributes.refuse("specversion", f"is {described(attributes.raw('specversion'))}; it must be 1.0")
    source, event_id = _read_identity(raw, attributes, transport)
    traced = transport if transport.raw("traceparent") is not None else attributes
    traceparent, tracestate = _read_trace(traced)
    return Envelope(
        source=source,
        id=event_id,
        type=attributes.text("type"),
        time=attributes.moment("time"),
        expires_at=attributes.moment("expirytime"),
        correlation_id=attributes.text("correlationid"),
        causation_id=attributes.text("causationid"),
        traceparent=traceparent,
        tracestate=tracestate,
        reply=_read_reply(transport),
        warnings=tuple(findings.warnings),
    )


def _read_identity(raw: RawRecord, attributes: Attributes, transport: Attributes) -> tuple[str, str]:
    """Give (source, id) by the contract's three rules; where the first is broken, the record's position.

    One of the two without the other is an envelope that its producer did not finish: refused.
    """
    source, event_id = attributes.raw("source"), attributes.raw("id")
    if source is None and event_id is None:
        return f"kafka:{raw.topic}", transport.text("idempotency-key") or raw.position
    if source is None:
        attributes.refuse("source", "is missing; an id identifies a command only together with its source")
    if event_id is None:
        attributes.refuse("id", "is missing; a source identifies a command only together with its id")
    source, event_id = attributes.text("source"), attributes.text("id")
    return (source, event_id) if source and event_id else (f"kafka:{raw.topic}", raw.position)


def _read_trace(attributes: Attributes) -> tuple[str | None, str | None]:
    """Give traceparent and tracestate. What is malformed starts a new trace, as W3C asks; it refuses nothing."""
    parent, state = attributes.raw("traceparent"), attributes.raw("tracestate")
    if not isinstance(parent, str) or not _TRACEPARENT.fullmatch(parent):
        if parent is not None:
            attributes.warn("traceparent", "a new trace begins")
        return None, None
    usable = isinstance(state, str) and 0 < len(state) <= MAX_TRACESTATE and not _has_controls(state)
    return parent, state if usable else None


def _read_reply(transport: Attributes) -> ReplyTo | None:
    """Give where a NestJS client waits. A bad partition or topic costs the client its reply, not its command.

    Without the partition the reply goes to any partition of the topic. All instances of a client share that topic
    and drop what they did not ask for, so it may still arrive; the status topic has it in any case.
    """
    topic, correlation = transport.raw("kafka_replyTopic"), transport.raw("kafka_correlationId")
    if not topic or not correlation:
        return None
    partition = transport.raw("kafka_replyPartition")
    if isinstance(topic, str) and not _TOPIC.fullmatch(topic):
        transport.warn("kafka_replyTopic", "no topic can have that name, no reply is sent there")
        return None
    if partition is not None and not (isinstance(partition, str) and _PARTITION.fullmatch(partition)):
        transport.warn("kafka_replyPartition", "replies go to any partition")
        partition = None
    topic, correlation = transport.text("kafka_replyTopic"), transport.text("kafka_correlationId")
    if topic is None or correlation is None:
        return None
    return ReplyTo(topic, None if partition is None else int(partition), correlation)


def _parse_moment(text: str) -> datetime | None:
    if not _RFC3339.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):  # no such day, or outside of the years 1 to 9999 once it is UTC
        return None
