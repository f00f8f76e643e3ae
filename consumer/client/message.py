"""A command as a record: topic, key, value, headers in CloudEvents' binary mode. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import uuid6

from schemas.commands import COMMAND_TYPES, accepted_types
from schemas.envelope import receive
from schemas.events import iso_milliseconds
from schemas.records import RawRecord

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from schemas.commands import Command
    from schemas.enums import TopicKind
    from schemas.records import Headers

DEFAULT_SOURCE: Final = "/forecast-consumer/client"
_KINDS: Final = {model: kind for kind, model in COMMAND_TYPES.items()}


@dataclass(frozen=True, slots=True)
class Attributes:
    """The envelope of a command; ``source`` and ``id`` are its identity.

    Attributes:
        time: When it was made, aware.
        correlation_id: Echoed in every reply.
        expires_at: The command's deadline, aware.
    """

    source: str
    id: str
    time: datetime
    correlation_id: str | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CommandMessage:
    """A record that is ready to be produced; ``execucao_id`` only if the command names one."""

    kind: TopicKind
    attributes: Attributes
    topic: str
    key: bytes
    value: bytes
    headers: Headers
    execucao_id: str | None

    def check(self) -> None:
        """Read the record as the service will.

        Raises:
            schemas.errors.BadRecord: The service would reject it; the errors say why.
        """
        milliseconds = int(self.attributes.time.timestamp() * 1000)
        receive(RawRecord(self.topic, 0, 0, milliseconds, self.key, self.value, self.headers), self.kind)


def compose_command(kind: TopicKind, data: Mapping[str, Any], topic: str, attributes: Attributes) -> CommandMessage:
    """Make the record of a command.

    Args:
        kind: What the topic carries.
        data: The command's fields as JSON values; not checked here.
        topic: Where it goes.
        attributes: The envelope.
    """
    named = data.get("execucao_id")
    execucao_id = named if isinstance(named, str) else None
    return CommandMessage(
        kind=kind,
        attributes=attributes,
        topic=topic,
        # All that is sent about one execution stays in order; commands without one spread over the partitions.
        key=(execucao_id or attributes.id).encode(),
        value=json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode(),
        headers=_headers(kind, attributes),
        execucao_id=execucao_id,
    )


def new_command_id() -> str:
    """A UUIDv7: unique, and in the order of time."""
    return str(uuid6.uuid7())


def kind_of(command: Command) -> TopicKind:
    """The kind of topic that carries a command."""
    return _KINDS[type(command)]


def given_data(command: Command) -> dict[str, Any]:
    """The fields that were set, as JSON values: what is left out gets the default of the service that reads it."""
    return command.model_dump(mode="json", exclude_unset=True)


def _headers(kind: TopicKind, attributes: Attributes) -> Headers:
    expires = attributes.expires_at
    pairs = (
        ("ce_specversion", "1.0"),
        ("ce_id", attributes.id),
        ("ce_source", attributes.source),
        ("ce_type", accepted_types(kind)[-1]),
        ("ce_time", iso_milliseconds(attributes.time)),
        ("ce_correlationid", attributes.correlation_id),
        ("ce_expirytime", None if expires is None else iso_milliseconds(expires)),
        ("content-type", "application/json"),
    )
    return tuple((name, text.encode()) for name, text in pairs if text is not None)
