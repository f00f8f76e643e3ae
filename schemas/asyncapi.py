"""The contract as an AsyncAPI 3.0 document; its payloads are the JSON Schemas beside it."""

from typing import Any, Final

from schemas.commands import COMMAND_TYPES
from schemas.enums import EventType, TopicKind
from schemas.examples import COMMAND_EXAMPLES, EVENT_EXAMPLES
from schemas.header_docs import COMMAND_HEADERS, DEAD_LETTER_HEADERS, NEST_REPLY_HEADERS, REPLY_HEADERS
from schemas.json_schema import EVENT_MODELS

CONTRACT_VERSION: Final = "1.0.0"
_DESCRIPTION: Final = (
    "Commands in, status and step-log events out. Envelope: CloudEvents 1.0, Kafka binding. Commands are read in "
    "binary mode, in structured mode (`content-type: application/cloudevents+json`) and as plain JSON; events are "
    "sent in binary mode. A command is identified by (`ce_source`, `ce_id`), else by the header `idempotency-key`, "
    "else by its position in the log. The same identity with the same data is a duplicate and ignored, with other "
    "data it is rejected. Subscribers drop duplicates by `ce_id` and ignore fields they do not know. Commands allow "
    "no unknown field; field names are snake_case or camelCase. A value has at most 1 MiB and 64 levels."
)


def asyncapi_document() -> dict[str, Any]:
    """Give the document as plain data, its order fixed. Topic names are the settings' defaults."""
    return {
        "asyncapi": "3.0.0",
        "id": "urn:forecast-consumer",
        "info": {"title": "forecast-consumer", "version": CONTRACT_VERSION, "description": _DESCRIPTION},
        "defaultContentType": "application/json",
        "channels": _channels(),
        "operations": _operations(),
        "components": {"messages": _messages()},
    }


def _channels() -> dict[str, Any]:
    key = "Key: the execucao_id"
    commands = {
        str(kind): _channel(f"forecast.{kind}", f"{key}." if kind is TopicKind.CANCEL else "Key: any.", [str(kind)])
        for kind in TopicKind
    }
    return {
        **commands,
        "status": _channel(
            "forecast.status",
            f"{key}; of a rejection without one, the command's identity `<source>:<id>`.",
            ["status", "command-rejected"],
        ),
        "step-log": _channel("forecast.step-log", f"{key}.", ["step-log"]),
        "dlq": _channel("forecast.dlq", "Key: that of the bad record.", ["dead-letter"]),
        "nest-reply": _channel(
            None,
            "The reply topic of a NestJS client. Honoured if its name matches the setting `reply_topic_pattern`.",
            ["nest-status", "nest-rejection"],
        ),
    }


def _channel(address: str | None, description: str, messages: list[str]) -> dict[str, Any]:
    references = {name: {"$ref": f"#/components/messages/{name}"} for name in messages}
    return {"address": address, "description": description, "messages": references}


def _operations() -> dict[str, Any]:
    receive = {f"receive-{kind}": _receive(kind) for kind in TopicKind}
    send = {f"send-{name}": _operation("send", name, f"Send to {name}.") for name in ("status", "step-log", "dlq")}
    return receive | send


def _operation(action: str, channel: str, summary: str) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "summary": summary}


def _receive(kind: TopicKind) -> dict[str, Any]:
    summary = (COMMAND_TYPES[kind].__doc__ or "").strip()
    reply = {
        "address": {
            "location": "$message.header#/kafka_replyTopic",
            "description": "Only where a NestJS client sent kafka_replyTopic and kafka_correlationId.",
        },
        "channel": {"$ref": "#/channels/nest-reply"},
    }
    return {**_operation("receive", str(kind), summary), "reply": reply}


def _messages() -> dict[str, Any]:
    commands = {
        str(kind): _message(f"forecast.{kind}", COMMAND_TYPES[kind].__name__, COMMAND_HEADERS, COMMAND_EXAMPLES[kind])
        for kind in TopicKind
    }
    events = {
        event_type.removeprefix("forecast.").removesuffix(".v1"): _message(
            str(event_type), EVENT_MODELS[event_type].__name__, REPLY_HEADERS, EVENT_EXAMPLES[event_type]
        )
        for event_type in EventType
    }
    return {**commands, **events, **_special_messages()}


def _message(schema: str, name: str, headers: dict[str, Any], example: Any) -> dict[str, Any]:
    return {
        "name": name,
        "title": schema,
        "contentType": "application/json",
        "headers": headers,
        "correlationId": {"location": "$message.header#/ce_correlationid"},
        "payload": {"$ref": f"./json/{schema}.json"},
        "examples": [{"name": name, "payload": dict(example)}],
    }


def _special_messages() -> dict[str, Any]:
    status = _message(EventType.STATUS, "NestStatus", NEST_REPLY_HEADERS, EVENT_EXAMPLES[EventType.STATUS])
    return {
        "nest-status": {**status, "correlationId": {"location": "$message.header#/kafka_correlationId"}},
        "nest-rejection": {
            "name": "NestRejection",
            "title": "The error of a NestJS client's Observable",
            "headers": NEST_REPLY_HEADERS,
            "correlationId": {"location": "$message.header#/kafka_correlationId"},
            "payload": {"type": "null"},
        },
        "dead-letter": {
            "name": "DeadLetter",
            "title": "A record that was no valid command, byte for byte",
            "headers": DEAD_LETTER_HEADERS,
            "payload": {"description": "Any bytes, or null."},
        },
    }
