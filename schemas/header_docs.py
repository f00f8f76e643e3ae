"""The headers of each message as JSON Schemas, for the AsyncAPI document. On the wire each is UTF-8 text."""

from typing import Any, Final

from schemas.attributes import MAX_TEXT


def _headers(description: str, required: tuple[str, ...], texts: dict[str, str]) -> dict[str, Any]:
    properties = {name: {"type": "string", "description": text} for name, text in texts.items()}
    schema = {"type": "object", "description": description, "properties": properties}
    return {**schema, "required": list(required)} if required else schema


_TRACE: Final = {
    "traceparent": "W3C trace context, continued.",
    "tracestate": "W3C trace context, continued.",
}
_REPLY: Final = {
    "ce_specversion": "1.0",
    "ce_id": "Deterministic: `<execucao_id>:<status|step>:<sequence>`, of a rejection "
    "`<topic>/<partition>/<offset>/<timestamp>:rejected`. Drop duplicates by it.",
    "ce_source": "/forecast-consumer",
    "ce_type": "forecast.status.v1, forecast.step-log.v1 or forecast.command-rejected.v1",
    "ce_subject": "The execucao_id; absent from a rejection that names none.",
    "ce_time": "When it happened, UTC with milliseconds.",
    "ce_correlationid": "The command's, echoed.",
    "ce_causationid": "The command's id.",
    **_TRACE,
    "content-type": "application/json",
}
_REPLY_REQUIRED: Final = ("ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "content-type")

COMMAND_HEADERS: Final = _headers(
    f"All may be left out. Texts have 1 to {MAX_TEXT} characters. In structured mode the ce_ attributes are in the "
    "value, under their names without ce_.",
    (),
    {
        "ce_specversion": "1.0; anything else is rejected.",
        "ce_id": "With ce_source the command's identity; the two come together. Send the same id when you retry.",
        "ce_source": "Who sends; see ce_id.",
        "ce_type": "`forecast.<train|predict|backtest|cancel>`, also with `.v1`; must agree with the topic.",
        "ce_time": "When the command was made, RFC 3339.",
        "ce_expirytime": "Deadline, RFC 3339: a command not begun by then ends in ERRO with the code `expired`.",
        "ce_correlationid": "Echoed in every reply.",
        "ce_causationid": "What caused the command.",
        **_TRACE,
        "content-type": "application/json, or application/cloudevents+json for structured mode.",
        "idempotency-key": "Identity of a command without ce_id and ce_source.",
        "kafka_correlationId": "NestJS: with kafka_replyTopic asks for replies.",
        "kafka_replyTopic": "NestJS: where replies go.",
        "kafka_replyPartition": "NestJS: the partition that replies go to, if named.",
    },
)
REPLY_HEADERS: Final = _headers("CloudEvents, binary mode.", _REPLY_REQUIRED, _REPLY)
NEST_REPLY_HEADERS: Final = _headers(
    "Those of the event, and what a NestJS client needs.",
    (*_REPLY_REQUIRED, "kafka_correlationId"),
    {
        **_REPLY,
        "kafka_correlationId": "The request's, echoed.",
        "kafka_nest-is-disposed": "One zero byte on the last status; absent before.",
        "kafka_nest-err": "Of a rejection, in place of a value: forecast.command-rejected.v1 as JSON.",
    },
)
DEAD_LETTER_HEADERS: Final = _headers(
    "The record's own headers as they came, and these.",
    tuple(f"dlq-{name}" for name in ("reason", "error", "topic", "partition", "offset", "timestamp", "attempts")),
    {
        "dlq-reason": "Code of the first error.",
        "dlq-error": "All messages, at most 1 KiB.",
        "dlq-topic": "Where the record stood.",
        "dlq-partition": "Where the record stood.",
        "dlq-offset": "Where the record stood.",
        "dlq-timestamp": "The record's, milliseconds since 1970.",
        "dlq-attempts": "How often the record was tried.",
    },
)
