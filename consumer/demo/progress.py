"""A command's way to its end as a progress bar, from the events that any subscriber sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from consumer.client.errors import ClientError
from consumer.demo.processes import ServerError
from schemas.enums import StepStatus
from schemas.events import CommandRejected, ExecutionStatusChanged, StepLogged

if TYPE_CHECKING:
    from rich.console import Console

    from consumer.client.client import ForecastClient
    from consumer.client.inbox import SentCommand


async def follow_with_progress(
    client: ForecastClient, sent: SentCommand, name: str, timeout_seconds: float, console: Console
) -> ExecutionStatusChanged:
    """Show a bar until the terminal status; that status.

    Raises:
        ServerError: The command was rejected, or nothing came in time.
    """
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    last: ExecutionStatusChanged | None = None
    with Progress(*columns, TextColumn("{task.fields[step]}"), TimeElapsedColumn(), console=console) as progress:
        bar = progress.add_task(f"{name:<8}", total=100, step="sent")
        try:
            async for event in client.follow(sent, timeout_seconds):
                last = _show(event.body, progress, bar) or last
            progress.update(bar, step=str(last.status) if last else "no status")
        except TimeoutError as error:
            raise ServerError(
                f"{name}: no terminal status within {timeout_seconds:g} s; see the service's log"
            ) from error
    if last is None:
        raise ClientError(f"{name}: the events ended without a status")
    return last


def _show(
    body: ExecutionStatusChanged | StepLogged | CommandRejected, progress: Progress, bar: TaskID
) -> ExecutionStatusChanged | None:
    if isinstance(body, CommandRejected):
        raise ServerError("rejected: " + "; ".join(error.message for error in body.errors))
    if isinstance(body, StepLogged):
        if body.status is StepStatus.RUNNING:
            progress.update(bar, step=body.step_name)
        return None
    if body.progress is not None:
        progress.update(bar, completed=body.progress.percent)
    return body
