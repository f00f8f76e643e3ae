"""JSON Schema (2020-12) of each command and event, from the models."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic.alias_generators import to_camel
from pydantic.json_schema import GenerateJsonSchema

from schemas.commands import COMMAND_TYPES
from schemas.enums import EventType, TopicKind
from schemas.events import CommandRejected, ExecutionStatusChanged, StepLogged
from schemas.examples import COMMAND_EXAMPLES, EVENT_EXAMPLES

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
EVENT_MODELS: Final[Mapping[EventType, type[BaseModel]]] = {
    EventType.STATUS: ExecutionStatusChanged,
    EventType.STEP_LOG: StepLogged,
    EventType.COMMAND_REJECTED: CommandRejected,
}


class _WithoutTitles(GenerateJsonSchema):
    """Titles that only repeat a field's name are noise to those who read the schema as documentation."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Never."""
        del schema
        return False


def json_schemas() -> dict[str, dict[str, Any]]:
    """Give every schema by its name, ``forecast.train`` to ``forecast.command-rejected.v1``."""
    commands = {f"forecast.{kind}": _command_schema(kind) for kind in TopicKind}
    events = {str(event_type): _event_schema(event_type) for event_type in EventType}
    return {
        name: {"$schema": DIALECT, "$id": f"urn:forecast-consumer:{name}", **schema}
        for name, schema in (commands | events).items()
    }


def _event_schema(event_type: EventType) -> dict[str, Any]:
    """Fields are always all there, and later ones may be added: unknown ones are allowed."""
    model = EVENT_MODELS[event_type]
    schema = model.model_json_schema(mode="serialization", schema_generator=_WithoutTitles)
    return {**schema, "examples": [EVENT_EXAMPLES[event_type]]}


def _command_schema(kind: TopicKind) -> dict[str, Any]:
    """Both spellings of each field, but never both at once, which is what ``parse_command`` takes."""
    schema = COMMAND_TYPES[kind].model_json_schema(schema_generator=_WithoutTitles)
    rules: list[dict[str, Any]] = []
    properties: dict[str, Any] = {}
    required = schema.pop("required", [])
    for name, definition in schema["properties"].items():
        properties[name] = definition
        camel = to_camel(name)
        if camel != name:
            properties[camel] = {
                "$ref": f"#/properties/{name}",
                "description": f"`{name}` in camelCase; send one of the two.",
            }
            rules.append({"not": {"required": [name, camel]}})
        if name in required:
            rules.append({"anyOf": [{"required": [spelling]} for spelling in dict.fromkeys((name, camel))]})
    return {**schema, "properties": properties, "allOf": rules, "examples": [COMMAND_EXAMPLES[kind]]}
