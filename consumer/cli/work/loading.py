"""Reading the settings, with a line for each that is wrong."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr, ValidationError

from consumer.cli.failure import CommandError, debugging
from consumer.exit_codes import ExitCode
from consumer.setting_rules import variable
from consumer.settings import Settings
from consumer.telemetry.logs import configure

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from pydantic_core import ErrorDetails

_RAISED = "Value error, "  # pydantic's words for a rule of our own


def load_settings(**options: object) -> Settings:
    """Read environment and ``.env``; options that are not None take precedence.

    Raises:
        CommandError: One line for each bad value: where it is set, what it is, what would be right.
    """
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        lines = [line for detail in error.errors(include_url=False) for line in _lines(detail, given.keys())]
        raise CommandError(*lines, exit_code=ExitCode.USAGE) from None
    except (OSError, UnicodeDecodeError) as error:
        message = f".env cannot be read: {type(error).__name__}; it must be a text file in UTF-8"
        raise CommandError(message, exit_code=ExitCode.USAGE) from None


def load_for_tool() -> Settings:
    """The same for a command that is no service: its libraries keep quiet, its own lines tell what is wrong."""
    settings = load_settings()
    if not debugging():
        configure("console", "error")
        # What aiokafka logs on the way to an error, the error's own line says better.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    return settings


def is_secret(field: str) -> bool:
    """Whether a setting's value is never to be shown."""
    annotation = Settings.model_fields[field].annotation
    return annotation is SecretStr or SecretStr in getattr(annotation, "__args__", ())


def _lines(detail: ErrorDetails, options: AbstractSet[str]) -> list[str]:
    right = detail["msg"].removeprefix(_RAISED).replace("Input should be", "it must be", 1)
    if not detail["loc"]:  # settings that do not go together: the lines name them
        return right.splitlines()
    field = str(detail["loc"][0])
    name = "--" + field.replace("_", "-") if field in options else variable(field)
    return [f"{name} {_shown(field, detail['input'])}; {right}"]


def _shown(field: str, value: object) -> str:
    # Before an @ somebody may have written a password, as in a URL.
    secret = field not in Settings.model_fields or is_secret(field) or "@" in str(value)
    return "is wrong" if secret else f"is {value!r:.60}"
