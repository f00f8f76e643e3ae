"""Strict JSON: what a record's value must be before anything else is asked of it."""

import json
import re
from collections.abc import Iterable
from typing import Any, Final

from pydantic_core import from_json

from schemas.enums import RejectionCode
from schemas.errors import FieldError
from schemas.excerpts import readable_name

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 64

_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_NOT_FINITE: Final = re.compile(rb"NaN|Infinity")
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_ONE_KIND: Final = bytes.maketrans(b"{}", b"[]")


class UnreadableValueError(Exception):
    """A value that is no JSON of ours; ``error`` is the reason as a rejection has it."""

    def __init__(self, code: RejectionCode, message: str, path: str = "value") -> None:
        super().__init__(message)
        self.error = FieldError(path, code, message)


def read_json(value: bytes | None) -> Any:
    """Parse a record's value.

    Sizes are looked at before the content, because the client library caps nothing. Depth is bounded by the
    parser itself (200, in native code) and then held to ``MAX_DEPTH``. Of a field that is there twice every reader
    takes another one, so it is refused.

    Raises:
        UnreadableValueError: Null, over 1 MiB, no UTF-8, no JSON, NaN, too deep, or a field twice.
    """
    if value is None:
        raise UnreadableValueError(RejectionCode.NULL_VALUE, "the value is null; it must be a JSON object")
    if len(value) > MAX_BYTES:
        message = f"the value has {len(value)} bytes; it must have at most {MAX_BYTES} (1 MiB)"
        raise UnreadableValueError(RejectionCode.TOO_LARGE, message)
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        message = f"byte {error.start} of the value ({value[error.start]:#04x}) is not UTF-8; send JSON in UTF-8"
        raise UnreadableValueError(RejectionCode.INVALID_UTF8, message) from error
    try:
        parsed = from_json(value, allow_inf_nan=False)
    except ValueError as error:
        raise _why_not_json(value, str(error)) from error
    if _is_too_deep(value):
        raise _too_deep()
    _refuse_repeated_fields(value, text, parsed)
    return parsed


def _why_not_json(value: bytes, reason: str) -> UnreadableValueError:
    if "recursion limit" in reason:
        return _too_deep()
    if value.startswith(b"\xef\xbb\xbf"):
        reason = "it begins with a byte order mark"
    elif not value.strip():
        reason = "it is empty"
    elif _NOT_FINITE.search(_STRING.sub(b"", value)):
        message = "the value holds NaN or Infinity, which JSON has not; send null or leave the field out"
        return UnreadableValueError(RejectionCode.NOT_FINITE, message)
    return UnreadableValueError(RejectionCode.INVALID_JSON, f"the value is not JSON: {reason}")


def _too_deep() -> UnreadableValueError:
    message = f"the value is nested deeper than {MAX_DEPTH} levels; a command is a flat object"
    return UnreadableValueError(RejectionCode.TOO_DEEP, message)


def _is_too_deep(value: bytes) -> bool:
    """Peel well-formed JSON from the inside, at native speed; hardly a value has enough brackets to need it."""
    if value.count(b"[") + value.count(b"{") <= MAX_DEPTH:
        return False
    brackets = _STRING.sub(b"", value).translate(_ONE_KIND, _NOT_BRACKETS)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return False
    return True


def _refuse_repeated_fields(value: bytes, text: str, parsed: Any) -> None:
    """Look closer only where there are more colons than fields: in strings, or of a field that was dropped."""
    if not isinstance(parsed, dict) or value.count(b":") == len(parsed):
        return

    def unique(pairs: Iterable[tuple[str, Any]]) -> None:
        seen = set()
        for name, _ in pairs:
            if name in seen:
                shown = readable_name(name)
                message = f"{shown} is there twice; send each field once"
                raise UnreadableValueError(RejectionCode.DUPLICATE_FIELD, message, shown)
            seen.add(name)

    json.loads(text, object_pairs_hook=unique)
