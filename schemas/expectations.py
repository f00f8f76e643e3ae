"""What would be right for a field, in words, taken from its JSON Schema: one source for limits and messages."""

from functools import cache
from typing import Any

from pydantic import BaseModel

EXAMPLE_UUID = "0190b2c4-7b1e-7cc3-98c4-dc0c0c07398f"


@cache
def expectation(model: type[BaseModel], field: str, *, in_list: bool = False) -> str:
    """Describe the values that ``field`` of ``model`` takes; with ``in_list`` those of its items."""
    schema = model.model_json_schema()
    wanted = schema["properties"][field]
    variants = [_resolved(variant, schema) for variant in wanted.get("anyOf", [wanted])]
    if in_list:
        return _in_words(next(variant["items"] for variant in variants if "items" in variant))
    words = " or ".join(_in_words(variant) for variant in variants)
    default = wanted.get("default")
    return words if default is None else f"{words}; left out, it is {'false' if default is False else default}"


def _resolved(variant: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    name = variant.get("$ref", "").rpartition("/")[2]
    definition: dict[str, Any] = schema["$defs"][name] if name else variant
    return definition


def _in_words(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return f"one of {', '.join(schema['enum'])}"
    match schema["type"]:
        case "integer":
            return f"an integer from {schema['minimum']} to {schema['maximum']}"
        case "boolean":
            return "true or false"
        case "array":
            return f"a list of {schema['minItems']} to {schema['maxItems']} ids"
        case "string" if "maxLength" in schema:
            return f"a string of {schema.get('minLength', 0)} to {schema['maxLength']} characters without U+0000"
        case "string":
            return f"a UUID such as {EXAMPLE_UUID}"
        case other:
            return str(other)
