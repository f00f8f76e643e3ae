"""What would be right for a field, in words, from its JSON Schema: one source for limits and messages."""

import json
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
    default = json.dumps(wanted.get("default")).strip('"')
    return words if default == "null" else f"{words}; left out, it is {default}"


def _resolved(variant: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    name = variant.get("$ref", "").rpartition("/")[2]
    definition: dict[str, Any] = schema["$defs"][name] if name else variant
    return definition


def _in_words(schema: dict[str, Any]) -> str:
    match schema:
        case {"enum": labels}:
            words = f"one of {', '.join(labels)}"
        case {"type": "integer", "minimum": low, "maximum": high}:
            words = f"an integer from {low} to {high}"
        case {"type": "boolean"}:
            words = "true or false"
        case {"type": "array", "minItems": fewest, "maxItems": most}:
            words = f"a list of {fewest} to {most} ids"
        case {"type": "string", "maxLength": longest}:
            words = f"a string of {schema.get('minLength', 0)} to {longest} characters, none of them U+0000"
        case {"type": "string"}:
            words = f"a UUID such as {EXAMPLE_UUID}"
        case _:
            words = str(schema["type"])
    return words
