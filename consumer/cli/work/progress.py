"""A progress bar on stderr for people, nothing for anybody else; and the question before what cannot be undone."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from consumer.cli.work.printing import console
from consumer.cli.work.ranges import wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def progress_bar(label: str, total: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Give what moves the bar by so many records."""
    to = console(stderr=True)
    if quiet or not to.is_terminal:
        yield lambda _: None
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=to) as progress:
        task = progress.add_task(label, total=total)
        yield lambda passed: progress.advance(task, passed)


def confirm(question: str, *, yes: bool) -> None:
    """Go on only if it is wanted.

    Raises:
        CommandError: Nobody is there to be asked, and ``--yes`` was not given.
        typer.Abort: The answer is no.
        KeyboardInterrupt: It is Ctrl-C.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise wrong(f"{question} Give --yes to do it, or --dry-run to see what would happen")
    try:
        typer.confirm(question, err=True, abort=True)
    except typer.Abort as no:
        if isinstance(no.__context__, KeyboardInterrupt):  # typer makes Ctrl-C a no; a script is to know it from one
            typer.echo(err=True)
            raise KeyboardInterrupt from None
        raise
