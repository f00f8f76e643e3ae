"""``schemas export``: the generated files of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from consumer.cli.failure import CommandError
from schemas.export import PACKAGE_DIRECTORY, MissingYamlError, drift, export

if TYPE_CHECKING:
    from pathlib import Path


def export_or_check(*, check: bool, directory: Path | None) -> None:
    """Write the files, or only see whether they are as they would be written.

    Raises:
        CommandError: They differ, they cannot be written, or PyYAML is missing.
    """
    target = PACKAGE_DIRECTORY if directory is None else directory
    try:
        if not check:
            for path in export(target):
                typer.echo(path)
            return
        found = drift(target)
    except MissingYamlError as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(f"{target}: {error.strerror or type(error).__name__}") from error
    if found:
        raise CommandError(*found, "run `forecast-consumer schemas export`")
    typer.echo("the generated files are what the models say")
