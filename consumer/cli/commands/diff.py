"""``executions diff``."""

from typing import Annotated

import typer

from consumer.cli.options import JsonOption


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="An execution.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another one, such as its rerun.")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Compare parameters, data, metrics and forecasts; exit code 0 if they are equal, 1 if not or if one is missing."""
    from consumer.cli.work.comparing import diff_executions  # noqa: PLC0415 - slow to import

    raise typer.Exit(diff_executions(a, b, as_json=as_json))
