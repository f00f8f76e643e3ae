"""Reading the settings, with a line for each that is wrong."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr, ValidationError
from pydantic_settings import DotEnvSettingsSource

from consumer.cli.failure import CommandError, debugging, say
from consumer.exit_codes import ExitCode
from consumer.setting_rules import PREFIX, variable
from consumer.settings import Settings
from consumer.telemetry.logs import configure

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from pydantic_core import ErrorDetails

_RAISED: Final = "Value error, "  # pydantic's words for a rule of our own
# Of the command line, of tests that end the process, and of the project's own tests.
_NO_SETTINGS: Final = tuple(PREFIX + name for name in ("DEBUG", "FAILPOINT", "TEST_"))


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
        say_unknown_names()  # what is wrong may be so because its variable is mistyped
        raise CommandError(*lines, exit_code=ExitCode.USAGE) from None
    except (OSError, UnicodeDecodeError) as error:
        message = f".env cannot be read: {type(error).__name__}; it must be a text file in UTF-8"
        raise CommandError(message, exit_code=ExitCode.USAGE) from None


def load_for_tool() -> Settings:
    """The same for a command that is no service: its libraries keep quiet, its own lines tell what is wrong."""
    settings = load_settings()
    say_unknown_names()
    if not debugging():
        configure("console", "error")
        # What aiokafka logs on the way to an error, the error's own line says better.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    return settings


def unknown_names() -> dict[str, str | None]:
    """What looks like a setting in the environment or ``.env`` and is none, with the setting that is closest to it."""
    known = [variable(field) for field in Settings.model_fields]
    lines = DotEnvSettingsSource(Settings).env_vars if Path(".env").is_file() else ()  # a pipe is read only once
    given = {name.upper() for name in (*os.environ, *lines)}
    odd = [name for name in given.difference(known) if name.startswith(PREFIX) and not name.startswith(_NO_SETTINGS)]
    return {name: _closest(name, known) for name in sorted(odd)}


def say_unknown_names() -> None:
    """A line on stderr for each name that is no setting: who mistypes one would get its default without a word."""
    for name, closest in unknown_names().items():
        hint = "" if closest is None else f"; did you mean {closest}?"
        say(f"warning: {name} is set, but there is no such setting{hint}")


def _closest(name: str, known: list[str]) -> str | None:
    from difflib import get_close_matches  # noqa: PLC0415 - only for a mistake

    # Without the prefix, which all have and which would make any two of them alike.
    found = get_close_matches(name.removeprefix(PREFIX), [one.removeprefix(PREFIX) for one in known], n=1)
    return PREFIX + found[0] if found else None


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
