"""Wire values as they may be shown in a message: bounded, on one line, and storable in any database."""

import json
from collections.abc import Mapping
from typing import Any, Final

MAX_EXCERPT: Final = 40
MAX_NAME: Final = 64
_JSON_TYPES: Final[Mapping[type, str]] = {
    bool: "the boolean",
    int: "the integer",
    float: "the number",
    str: "the string",
}


def described(value: Any) -> str:
    """Say what a JSON value is: its type or size, and of a scalar up to ``MAX_EXCERPT`` characters of it."""
    return f"{_json_type(value)} {_excerpt(value)}".rstrip()


def readable_name(name: str) -> str:
    """Show a field's or header's name as it came, unless it is long or has characters that do not show."""
    if len(name) <= MAX_NAME and name.isprintable():
        return name
    return _escaped(name[:MAX_NAME]) + ("…" if len(name) > MAX_NAME else "")


def _json_type(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bytes):
        return "not UTF-8"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}" if value else "an empty list"
    if isinstance(value, str) and len(value) > MAX_EXCERPT:
        return f"the string of {len(value)} characters"
    return _JSON_TYPES.get(type(value), "a value")


def _excerpt(value: Any) -> str:
    if isinstance(value, str):
        return _escaped(value[:MAX_EXCERPT]) + ("…" if len(value) > MAX_EXCERPT else "")
    if isinstance(value, int) and abs(value) >= 10**MAX_EXCERPT:
        return "below -1e40" if value < 0 else "above 1e40"
    return json.dumps(value) if isinstance(value, (bool, int, float)) else ""


def _escaped(text: str) -> str:
    """Quote as JSON. Printable characters stay as they are; controls and lone surrogates are escaped."""
    if text.isprintable():
        return json.dumps(text, ensure_ascii=False)
    return json.dumps(text)
