"""``config``: the settings as they are, and as a template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import typer
from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from consumer.cli.work.loading import is_secret, load_settings, say_unknown_names
from consumer.cli.work.printing import print_json, print_table
from consumer.db.database import safe_url
from consumer.setting_rules import variable
from consumer.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

MASK: Final = "********"


def print_settings(*, as_json: bool) -> None:
    """Print variable, value and meaning of each setting; variables that name none are told on stderr.

    Raises:
        CommandError: A setting is wrong.
    """
    settings = load_settings()
    rows = [(variable(name), shown(settings, name), field.description or "") for name, field in _fields()]
    if as_json:
        print_json([dict(zip(("variable", "value", "description"), row, strict=True)) for row in rows])
    else:
        print_table(("variable", "value", "meaning"), rows)
    say_unknown_names()


def print_env_example() -> None:
    """Print a template for ``.env``: every setting with its default, commented out."""
    typer.echo("# Every setting and its default; written by `forecast-consumer config --env-example`.")
    for name, field in _fields():
        typer.echo()
        if field.description:
            typer.echo(f"# {field.description}")
        typer.echo(f"# {variable(name)}={_default(field)}")


def shown(settings: Settings, name: str) -> str:
    """A setting's value as a variable would have it; of a secret only whether it is set, of a URL all but that."""
    value = getattr(settings, name)
    if name == "database_url":
        return safe_url(settings.database_url.get_secret_value())
    if value is not None and is_secret(name):
        return MASK
    return _as_text(value)


def _fields() -> Iterator[tuple[str, FieldInfo]]:
    yield from Settings.model_fields.items()


def _default(field: FieldInfo) -> str:
    # What is made at start (the host's name, the number of cores) has no place in a template.
    value = None if field.default is PydanticUndefined else field.default
    return _as_text(value.get_secret_value() if isinstance(value, SecretStr) else value)


def _as_text(value: object) -> str:
    if value is None:
        return ""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
