"""``watch``."""

from typing import Annotated

import typer

from consumer.cli.options import JsonOption


def watch(
    *,
    execucao_id: Annotated[
        list[str] | None, typer.Option(help="Only this execution; repeat it.", show_default="all")
    ] = None,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Start with the oldest event that the topics hold.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="End after so many events.", show_default="until Ctrl-C")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show status changes, steps and rejections as they come, a line each."""
    from consumer.cli.work.watching import watch_from_options  # noqa: PLC0415 - slow to import

    watch_from_options(
        execucao_ids=frozenset(execucao_id or ()), from_beginning=from_beginning, limit=limit, as_json=as_json
    )
