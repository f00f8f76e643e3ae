"""What crosses the border of the contract: a raw record, its envelope. Pure values."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

Headers = tuple[tuple[str, bytes], ...]
"""Headers of an outgoing record, in order; a name may occur twice."""

RawHeaders = tuple[tuple[str, bytes | None], ...]
"""Headers of an incoming record: Kafka allows one without a value."""


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A record as the broker handed it over; ``timestamp_ms`` is milliseconds since 1970, -1 if unset."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: RawHeaders = ()

    @property
    def position(self) -> str:
        """``<partition>/<offset>/<timestamp>``; the timestamp tells a recreated topic from the old one."""
        return f"{self.partition}/{self.offset}/{self.timestamp_ms}"


@dataclass(frozen=True, slots=True)
class ReplyTo:
    """Where a NestJS client (``ClientKafka.send``) waits; ``partition`` is None when it named none."""

    topic: str
    partition: int | None
    correlation_id: str


class Envelope(NamedTuple):
    """The attributes of a command beside its data. ``source`` and ``id`` are always there: its identity.

    Attributes:
        source: ``ce_source``, or ``kafka:<topic>``.
        id: ``ce_id``, or the ``idempotency-key``, or the record's position.
        type: ``ce_type`` if the producer set it.
        time: ``ce_time``, UTC.
        expires_at: ``ce_expirytime``, the command's deadline, UTC.
        correlation_id: Echoed in every reply.
        causation_id: What caused the command, by its producer's word.
        traceparent: W3C trace context to continue; None if absent or malformed.
        tracestate: Travels with ``traceparent`` only.
        reply: Where replies go besides the status topic.
        warnings: What was wrong but is no reason to refuse the command, for the log.
    """

    source: str
    id: str
    type: str | None = None
    time: datetime | None = None
    expires_at: datetime | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None
    reply: ReplyTo | None = None
    warnings: tuple[str, ...] = ()
