"""From wire data to a model, and from what pydantic finds wrong to messages that help the producer."""

import difflib
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from schemas.enums import RejectionCode
from schemas.errors import FieldError, InvalidCommand
from schemas.excerpts import described, readable_name
from schemas.expectations import expectation

MAX_ERRORS: Final = 20
ModelT = TypeVar("ModelT", bound=BaseModel)

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_CODES: Final[Mapping[str, RejectionCode]] = {
    "missing": RejectionCode.MISSING_FIELD,
    "int_type": RejectionCode.WRONG_TYPE,
    "bool_type": RejectionCode.WRONG_TYPE,
    "string_type": RejectionCode.WRONG_TYPE,
    "tuple_type": RejectionCode.WRONG_TYPE,
    "greater_than_equal": RejectionCode.OUT_OF_RANGE,
    "less_than_equal": RejectionCode.OUT_OF_RANGE,
    "string_too_short": RejectionCode.OUT_OF_RANGE,
    "string_too_long": RejectionCode.OUT_OF_RANGE,
    "too_short": RejectionCode.OUT_OF_RANGE,
    "too_long": RejectionCode.OUT_OF_RANGE,
}


def validate_wire_data(model: type[ModelT], data: Mapping[str, Any]) -> ModelT:
    """Validate ``data`` as ``model``, its names in snake_case or camelCase.

    Raises:
        InvalidCommand: With at most ``MAX_ERRORS`` errors, the rest counted in the last one.
    """
    fields, spelled, errors = _by_field(model, data)
    try:
        command = model.model_validate(fields)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)
        errors += [_field_error(item, spelled, model) for item in details if not _follows_from_another(item)]
    else:
        if not errors and len(spelled) == len(data):
            return command
    unknown = [name for name in data if name not in _spellings(model)]
    errors += [_unknown_field(name, model) for name in unknown[:MAX_ERRORS]]
    total = len(errors) + len(unknown[MAX_ERRORS:])
    raise InvalidCommand(_bounded(errors, total), execucao_id=readable_execucao_id(data))


def _by_field(
    model: type[BaseModel], data: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, str], list[FieldError]]:
    """Give values by field, the producer's spelling by field, and what is there in both spellings."""
    spellings = _spellings(model)
    fields: dict[str, Any] = {}
    spelled: dict[str, str] = {}
    errors: list[FieldError] = []
    for name, value in data.items():
        field = spellings.get(name)
        if field is None:
            continue
        if field in spelled:
            errors.append(_both_spellings(spelled[field], name))
        else:
            fields[field] = value
            spelled[field] = name
    return fields, spelled, errors


def readable_execucao_id(data: object) -> str | None:
    """Give the execution that the data of a bad command names, if it names exactly one."""
    if not isinstance(data, Mapping):
        return None
    spelled = (data.get("execucao_id"), data.get("execucaoId"))
    named = {text for text in spelled if isinstance(text, str) and _UUID.fullmatch(text)}
    return named.pop() if len(named) == 1 else None


@cache
def _spellings(model: type[BaseModel]) -> Mapping[str, str]:
    return {spelling: field for field in model.model_fields for spelling in (field, to_camel(field))}


def _bounded(errors: list[FieldError], total: int) -> tuple[FieldError, ...]:
    if total <= MAX_ERRORS:
        return tuple(errors)
    message = f"{total - MAX_ERRORS + 1} more errors; correct those above first"
    return (*errors[: MAX_ERRORS - 1], FieldError("value", errors[MAX_ERRORS - 1].code, message))


def _unknown_field(name: str, model: type[BaseModel]) -> FieldError:
    shown = readable_name(name)
    near = difflib.get_close_matches(shown, _spellings(model), n=1, cutoff=0.6)
    if near:
        hint = f"did you mean {near[0]}?"
    elif name in {"specversion", "datacontenttype"}:
        hint = "a whole CloudEvent in the value needs the header content-type: application/cloudevents+json"
    else:
        hint = f"known fields are {', '.join(model.model_fields)}"
    return FieldError(shown, RejectionCode.UNKNOWN_FIELD, f"{shown} is not a field of this command; {hint}")


def _both_spellings(first: str, second: str) -> FieldError:
    message = f"{first} and {second} are two spellings of one field; send only one of them"
    return FieldError(second, RejectionCode.BOTH_SPELLINGS, message)


def _field_error(detail: ErrorDetails, spelled: Mapping[str, str], model: type[BaseModel]) -> FieldError:
    field, *inner = (str(part) for part in detail["loc"])
    path = spelled.get(field, field) + "".join(f"[{index}]" for index in inner)
    value = detail["input"]
    right = expectation(model, field, in_list=bool(inner))
    code = _CODES.get(detail["type"], RejectionCode.INVALID_VALUE)
    if code is RejectionCode.MISSING_FIELD:
        return FieldError(path, code, f"{path} is missing; it must be {right}")
    if detail["type"] == "enum" and not isinstance(value, str):
        code = RejectionCode.WRONG_TYPE
    return FieldError(path, code, f"{path} is {described(value)}; it must be {right}")


def _follows_from_another(detail: ErrorDetails) -> bool:
    """Whether pydantic calls a list too short only because it stopped at a bad item, which has an error."""
    return detail["type"] == "too_short" and bool(detail["input"])
