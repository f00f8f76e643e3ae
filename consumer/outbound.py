"""From an event to the messages that carry it: topic, key, headers, and a copy for a NestJS client that waits. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from schemas.enums import EventType
from schemas.events import CommandRejected, ExecutionStatusChanged
from schemas.replies import (
    ReplyHeaders,
    dead_letter_headers,
    event_id,
    nest_rejection_headers,
    nest_status_headers,
    rejection_id,
    rejection_key,
)

if TYPE_CHECKING:
    import re
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from consumer.received import Refused
    from schemas.events import StepLogged
    from schemas.records import Envelope, RawHeaders, ReplyTo

    Event = ExecutionStatusChanged | StepLogged


class OutboxMessage(NamedTuple):
    """A message as it goes to the broker; the same bytes however often it is sent. ``event_id`` names it in logs."""

    event_id: str
    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: RawHeaders


class Cause(NamedTuple):
    """The command that an event answers; every part may be missing."""

    command_id: str | None = None
    correlation_id: str | None = None
    traceparent: str | None = None
    tracestate: str | None = None
    reply: ReplyTo | None = None

    @classmethod
    def of(cls, envelope: Envelope) -> Cause:
        """The cause that an envelope names."""
        return cls(envelope.id, envelope.correlation_id, envelope.traceparent, envelope.tracestate, envelope.reply)


@dataclass(frozen=True, slots=True)
class Topics:
    """Where events go. A reply topic of a client must match the pattern and be none of the service's own topics."""

    status: str
    step_log: str
    dlq: str
    reply_pattern: re.Pattern[str]
    reserved: AbstractSet[str]

    def honours(self, reply: ReplyTo | None) -> bool:
        """Whether replies may be sent where the client asks for them."""
        if reply is None or reply.topic in self.reserved or reply.topic.startswith("__"):
            return False
        return self.reply_pattern.fullmatch(reply.topic) is not None


class Composer:
    """Makes messages; knows the topics and nothing else."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics

    def compose(self, event: Event, cause: Cause) -> list[OutboxMessage]:
        """The messages of one event; a status goes to a waiting NestJS client as well."""
        return self._compose(event, cause, _headers(event.execucao_id, cause))

    def compose_all(self, events: Sequence[Event], cause: Cause) -> list[list[OutboxMessage]]:
        """The messages of each of an execution's events."""
        if not events:
            return []
        headers = _headers(events[0].execucao_id, cause)
        return [self._compose(event, cause, headers) for event in events]

    def refuse(self, refused: Refused, now: datetime) -> list[OutboxMessage]:
        """Dead letter and rejection of a bad record, and the error of a waiting NestJS client."""
        raw, cause = refused.raw, Cause.of(refused.envelope)
        rejection = CommandRejected(
            source=refused.envelope.source,
            id=refused.envelope.id,
            topic=raw.topic,
            partition=raw.partition,
            offset=raw.offset,
            execucao_id=refused.execucao_id,
            errors=refused.errors,
            occurred_at=now,
        )
        name = rejection_id(raw)
        key = rejection_key(refused.execucao_id, refused.envelope.source, refused.envelope.id)
        headers = _headers(refused.execucao_id, cause).of(name, EventType.COMMAND_REJECTED, now)
        # Kafka takes a record with neither key nor value, the client does not: an empty key is as near as it gets.
        letter_key = b"" if raw.key is None and raw.value is None else raw.key
        letter_headers = dead_letter_headers(raw, refused.reason, [error.message for error in refused.errors])
        messages = [
            OutboxMessage(f"{name}:dlq", self._topics.dlq, None, letter_key, raw.value, letter_headers),
            OutboxMessage(name, self._topics.status, None, key, rejection.to_json(), headers),
        ]
        if cause.reply is not None and self._topics.honours(cause.reply):
            extra = nest_rejection_headers(cause.reply.correlation_id, rejection)
            messages.append(_reply(name, cause.reply, key, None, (*headers, *extra)))
        return messages

    def _compose(self, event: Event, cause: Cause, common: ReplyHeaders) -> list[OutboxMessage]:
        key, value = event.execucao_id.encode(), event.to_json()
        if not isinstance(event, ExecutionStatusChanged):
            name = event_id(event.execucao_id, "step", event.sequence)
            headers = common.of(name, EventType.STEP_LOG, event.occurred_at)
            return [OutboxMessage(name, self._topics.step_log, None, key, value, headers)]
        name = event_id(event.execucao_id, "status", event.sequence)
        headers = common.of(name, EventType.STATUS, event.occurred_at)
        messages = [OutboxMessage(name, self._topics.status, None, key, value, headers)]
        if cause.reply is not None and self._topics.honours(cause.reply):
            extra = nest_status_headers(cause.reply.correlation_id, last=event.terminal)
            messages.append(_reply(name, cause.reply, key, value, (*headers, *extra)))
        return messages


def _reply(name: str, reply: ReplyTo, key: bytes, value: bytes | None, headers: RawHeaders) -> OutboxMessage:
    return OutboxMessage(f"{name}:reply", reply.topic, reply.partition, key, value, headers)


def _headers(subject: str | None, cause: Cause) -> ReplyHeaders:
    return ReplyHeaders(
        subject=subject,
        correlation_id=cause.correlation_id,
        causation_id=cause.command_id,
        traceparent=cause.traceparent,
        tracestate=cause.tracestate,
    )
