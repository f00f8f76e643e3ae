"""From a raw record to a command with its identity: CloudEvents, binary and structured, and plain JSON.

Where the contract leaves a choice it is made so: the header ``content-type`` alone makes a record structured, and
then its ``ce_`` headers do not count. ``specversion`` and ``type`` may be missing, because the topic says what they
would; they must not be wrong. ``source`` and ``id`` come together or not at all, and a structured event always has
both. Headers that nobody here reads may hold any bytes.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

from schemas.attributes import Attributes, Findings, read_attributes
from schemas.commands import Command, accepted_types, data_digest, parse_command
from schemas.enums import CommandKind, RejectionCode, TopicKind
from schemas.errors import FieldError, InvalidCommand, UnreadableRecord
from schemas.excerpts import described
from schemas.field_errors import readable_execucao_id
from schemas.json_text import UnreadableValueError, read_json
from schemas.records import Envelope, RawHeaders, RawRecord

STRUCTURED: Final = "application/cloudevents"
# Read whatever their case; those that identify or address a command must not contradict themselves.
_DECISIVE: Final = (
    *(f"ce_{name}" for name in ("specversion", "id", "source", "type", "time")),
    *(f"ce_{name}" for name in ("expirytime", "correlationid", "causationid")),
    *("idempotency-key", "kafka_correlationId", "kafka_replyTopic"),
)
_OTHERS: Final = (
    *("content-type", "kafka_replyPartition", "traceparent", "tracestate"),
    *("ce_traceparent", "ce_tracestate"),
)
_CANONICAL: Final = {spelled: name for name in (*_DECISIVE, *_OTHERS) for spelled in (name, name.lower())}


class Received(NamedTuple):
    """A readable record: its envelope and its data, not validated yet."""

    envelope: Envelope
    data: Mapping[str, Any]


class ReceivedCommand(NamedTuple):
    """A valid command. ``digest`` is ``data_digest(command)``: with the identity it tells duplicates."""

    envelope: Envelope
    command: Command
    digest: bytes


def receive(raw: RawRecord, kind: TopicKind | CommandKind) -> ReceivedCommand:
    """Read and validate one record, whatever its bytes are.

    Raises:
        UnreadableRecord: Value or envelope cannot be read.
        InvalidCommand: The type contradicts the topic, or the data breaks a rule.
            Both carry the envelope and, if readable, the execucao_id.
    """
    received = read_envelope(raw, kind)
    try:
        command = parse_command(TopicKind(kind), received.data)
    except InvalidCommand as error:
        raise InvalidCommand(error.errors, received.envelope, error.execucao_id) from None
    return ReceivedCommand(received.envelope, command, data_digest(command))


def read_envelope(raw: RawRecord, kind: TopicKind | CommandKind) -> Received:
    """Read a record's envelope and find its data.

    Args:
        raw: The record.
        kind: What its topic carries.

    Raises:
        UnreadableRecord: Value or envelope cannot be read.
        InvalidCommand: The type contradicts the topic.
            Both carry the envelope and, if readable, the execucao_id.
    """
    findings = Findings()
    headers = _read_headers(raw.headers, findings)
    transport = Attributes(headers, "", findings)
    data = _read_object(raw.value, findings)
    attributes = Attributes(headers, "ce_", findings)
    media_type = headers.get("content-type")
    if isinstance(media_type, str) and media_type.strip().lower().startswith(STRUCTURED):
        attributes, data = _open_structured(media_type, data, findings)
    envelope = read_attributes(raw, attributes, transport, findings)
    if findings.errors or data is None:
        raise UnreadableRecord(tuple(findings.errors), envelope, readable_execucao_id(data))
    if envelope.type is not None and envelope.type not in accepted_types(kind):
        raise InvalidCommand((_type_mismatch(envelope.type, kind),), envelope, readable_execucao_id(data))
    return Received(envelope, data)


def _read_headers(headers: RawHeaders, findings: Findings) -> dict[str, str | bytes]:
    """Give the headers that are read here, the first of each name; as bytes what is no UTF-8."""
    values: dict[str, str | bytes] = {}
    for spelled, content in headers:
        name = _CANONICAL.get(spelled) or _CANONICAL.get(spelled.lower())
        if name is None or content is None:
            continue
        value = _decoded(content)
        if name not in values:
            values[name] = value
        elif values[name] != value and name in _DECISIVE:
            findings.refuse(name, "is there twice with different values; send it once")
    return values


def _decoded(content: bytes) -> str | bytes:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content


def _read_object(value: bytes | None, findings: Findings, path: str = "value") -> dict[str, Any] | None:
    try:
        parsed = read_json(value)
    except UnreadableValueError as error:
        where = path if error.error.path == "value" else error.error.path
        findings.errors.append(replace(error.error, path=where))
        return None
    return _expect_object(parsed, findings, path)


def _expect_object(parsed: Any, findings: Findings, path: str) -> dict[str, Any] | None:
    if isinstance(parsed, dict):
        return parsed
    message = f"the {path} is {described(parsed)}; it must be a JSON object, one command a record"
    findings.errors.append(FieldError(path, RejectionCode.NOT_AN_OBJECT, message))
    return None


def _open_structured(
    media_type: str, event: dict[str, Any] | None, findings: Findings
) -> tuple[Attributes, dict[str, Any] | None]:
    """Give a structured event's attributes and its data."""
    attributes = Attributes(event or {}, "", findings)
    if event is None:
        return attributes, None
    suffix = media_type.strip().lower().removeprefix(STRUCTURED).partition(";")[0].strip()
    if suffix not in ("", "+json"):
        findings.refuse("content-type", f"is {described(media_type)}; a structured event must be {STRUCTURED}+json")
    if event.get("source") is None and event.get("id") is None:
        findings.refuse("id", "and source are missing; a structured event must have both")
    content_type = event.get("datacontenttype")
    if content_type is not None and not _is_json(content_type):
        findings.refuse("datacontenttype", f"is {described(content_type)}; it must be application/json")
    if "data_base64" in event and "data" not in event:
        return attributes, _read_base64(event["data_base64"], findings)
    return attributes, _expect_object(event.get("data"), findings, "data")


def _is_json(content_type: Any) -> bool:
    media_type = content_type.partition(";")[0].strip().lower() if isinstance(content_type, str) else ""
    return media_type.endswith(("/json", "+json"))


def _read_base64(encoded: Any, findings: Findings) -> dict[str, Any] | None:
    try:
        value = base64.b64decode(encoded if isinstance(encoded, str) else "?", validate=True)
    except (binascii.Error, ValueError):
        findings.refuse("data_base64", f"is {described(encoded)}; it must be Base64")
        return None
    return _read_object(value, findings, "data_base64")


def _type_mismatch(event_type: str, kind: TopicKind | CommandKind) -> FieldError:
    wanted = " or ".join(accepted_types(kind))
    message = f"the type is {described(event_type)}, which contradicts the topic; here it must be {wanted}"
    return FieldError("ce_type", RejectionCode.TYPE_MISMATCH, message)
