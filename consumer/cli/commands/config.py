"""``config``."""

from typing import Annotated

import typer

from consumer.cli.options import JsonOption


def config(
    *,
    env_example: Annotated[
        bool, typer.Option("--env-example", help="Print a template for .env: names and defaults.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show every setting: its environment variable, its value (secrets masked) and what it means."""
    from consumer.cli.work.configuration import print_env_example, print_settings  # noqa: PLC0415 - slow to import

    if env_example:
        print_env_example()
    else:
        print_settings(as_json=as_json)
