"""``send --wait``: progress while it lasts, and what the end means for the exit code."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, Protocol

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn

from consumer.cli.failure import TIMED_OUT, say
from consumer.cli.work.event_lines import event_line, progress_text, rejection_text
from consumer.cli.work.printing import console, print_json
from consumer.exit_codes import ExitCode
from schemas.enums import ErrorCode, StatusExecucao, TopicKind
from schemas.events import CommandRejected, ExecutionStatusChanged

if TYPE_CHECKING:
    from rich.console import Console

    from consumer.client.client import ForecastClient
    from consumer.client.events import Event
    from consumer.client.inbox import SentCommand

SILENCE_SECONDS: Final = 10.0  # a service that works has told PENDENTE long before
_SILENCE_HINT: Final = "is the service running? A command whose id was used before is not run again"


class View(Protocol):
    """How the events of one command are shown while they come."""

    def show(self, event: Event) -> None:
        """Show one."""
        ...


class JsonView:
    """A line of JSON on stdout for each event."""

    def show(self, event: Event) -> None:
        """Print the event as it came."""
        print_json(event.as_json())


class LineView:
    """A line on stderr for each change: for logs, where a bar makes no sense."""

    def __init__(self, to: Console) -> None:
        self._to = to

    def show(self, event: Event) -> None:
        """Print the event as a line."""
        self._to.print(event_line(event), soft_wrap=True)


class BarView:
    """One progress bar on stderr."""

    def __init__(self, progress: Progress, kind: TopicKind) -> None:
        self._progress = progress
        self._task = progress.add_task(kind.value, total=100, state="sent", rest="")

    def show(self, event: Event) -> None:
        """Move the bar by a status event; steps are part of it."""
        body = event.body
        if not isinstance(body, ExecutionStatusChanged):
            return
        told = body.progress
        state = body.status.value if told is None else f"{told.step}/{told.total_steps} {told.step_name}"
        if body.terminal:
            done = body.status is not StatusExecucao.ERRO
            self._progress.update(self._task, completed=100 if done else None, state=body.status.value, rest="")
        else:
            percent, rest = (0, "") if told is None else (told.percent, progress_text(told))
            self._progress.update(self._task, completed=percent, state=state, rest=rest)


async def follow(client: ForecastClient, sent: SentCommand, seconds: float | None, *, as_json: bool) -> int:
    """Show a command's events until its end; the exit code.

    Args:
        seconds: How long at most; None: as long as it takes.
        as_json: One JSON object an event, nothing else on stdout.
    """
    last: Event | None = None
    with ExitStack() as stack:
        view = _view(sent.kind, stack, as_json=as_json)
        silence = asyncio.get_running_loop().call_later(SILENCE_SECONDS, _say_silent, sent)
        stack.callback(silence.cancel)
        try:
            async for event in client.follow(sent, seconds):
                silence.cancel()
                view.show(event)
                last = event if event.terminal or last is None else last
        except TimeoutError:
            stack.close()
            return _timed_out(sent, last, seconds)
    return _end(sent, last, quiet=as_json)


def _view(kind: TopicKind, stack: ExitStack, *, as_json: bool) -> View:
    if as_json:
        return JsonView()
    to = console(stderr=True)
    if not to.is_terminal:
        return LineView(to)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[state]}  {task.fields[rest]}", markup=False),
    )
    return BarView(stack.enter_context(Progress(*columns, console=to)), kind)


def _say_silent(sent: SentCommand) -> None:
    say(f"nothing is heard of command {sent.id} yet: {_SILENCE_HINT}; still waiting, Ctrl-C ends it")


def _timed_out(sent: SentCommand, first: Event | None, seconds: float | None) -> int:
    known = None if first is None else first.execucao_id
    where = f"execution {known} has not ended; `watch --execucao-id {known}` goes on" if known else _SILENCE_HINT
    say(f"no end of command {sent.id} within {seconds:g} s: {where}")
    return TIMED_OUT


def _end(sent: SentCommand, last: Event | None, *, quiet: bool) -> int:
    body = None if last is None else last.body
    if isinstance(body, CommandRejected):
        say(f"command {sent.id} was rejected: {rejection_text(body)}")
        return ExitCode.FAILED
    if not isinstance(body, ExecutionStatusChanged):
        say(f"the events of command {sent.id} ended without a status")
        return ExitCode.FAILED
    if not quiet:
        typer.echo(f"{body.comando} {body.status} {body.execucao_id}")
    why = "" if body.error is None else f": {body.error.message} ({body.error.code})"
    cancelled = body.error is not None and body.error.code == ErrorCode.CANCELLED
    if sent.kind is TopicKind.CANCEL:
        if not cancelled:
            say(f"execution {body.execucao_id} ended in {body.status} before it could be cancelled")
        return ExitCode.OK if cancelled else ExitCode.FAILED
    if body.status is StatusExecucao.PARCIAL:
        say(f"warning: some products failed; `executions show {body.execucao_id}` names them")
    if body.status is StatusExecucao.ERRO:
        say(f"execution {body.execucao_id} ended in ERRO{why}")
        return ExitCode.FAILED
    return ExitCode.OK
