"""``schemas export``."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(name="schemas", help="The event contract as files.", no_args_is_help=True)


@app.callback()
def schemas() -> None:
    """The event contract as files."""


@app.command()
def export(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 if files and models differ.")
    ] = False,
    directory: Annotated[
        Path | None, typer.Option(file_okay=False, help="Where to.", show_default="the package schemas")
    ] = None,
) -> None:
    """Write asyncapi.yaml and json/*.json as the models say."""
    from consumer.cli.work.schemas import export_or_check  # noqa: PLC0415 - slow to import

    export_or_check(check=check, directory=directory)
