"""An event as one line for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from consumer.cli.work.printing import STYLES
from schemas.events import ExecutionStatusChanged, StepLogged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from consumer.client.events import Event
    from schemas.events import CommandRejected, Progress


def event_line(event: Event) -> Text:
    """Time, execution, what happened; coloured by the state."""
    body = event.body
    if isinstance(body, ExecutionStatusChanged):
        state, rest = body.status.value, list(_status(body))
    elif isinstance(body, StepLogged):
        state, rest = body.status.value, list(_step(body))
    else:
        state, rest = "REJECTED", [f"{body.topic}/{body.partition}/{body.offset}", rejection_text(body)]
    line = Text(f"{body.occurred_at:%H:%M:%S}  {event.execucao_id or '-':36}  ")
    line.append(f"{state:10}", STYLES.get(state, ""))
    line.append("  " + "  ".join(_printable(part) for part in rest if part))
    return line


def progress_text(progress: Progress) -> str:
    """Products and the time that is left, as far as they are known."""
    products = f"{progress.products_processed}/{progress.products_total}" if progress.products_total else ""
    eta = "" if progress.eta_seconds is None else f"about {progress.eta_seconds:.0f} s left"
    return "  ".join(part for part in (products, eta) if part)


def rejection_text(rejection: CommandRejected) -> str:
    """Every reason, in one line."""
    return "; ".join(f"{error.message} ({error.code})" for error in rejection.errors)


def _printable(text: str) -> str:
    # Messages quote what producers sent: neither a second line nor a command to the terminal may come of it.
    return "".join(character if character.isprintable() else " " for character in text)


def _status(body: ExecutionStatusChanged) -> Iterator[str]:
    yield body.comando.value
    if body.progress is not None:
        yield f"{body.progress.percent} %"
        yield body.progress.step_name
        yield progress_text(body.progress)
    if body.attempt > 1:
        yield f"attempt {body.attempt}"
    if body.error is not None:
        yield f"{body.error.code}: {body.error.message}"


def _step(body: StepLogged) -> Iterator[str]:
    yield body.comando.value
    yield f"step {body.step_order}/{body.total_steps} {body.step_name}"
    if body.products_total:
        yield f"{body.products_processed or 0}/{body.products_total}"
    if body.duration_ms is not None:
        yield f"{body.duration_ms} ms"
    reason = body.details.get("reason")
    if reason:
        yield str(reason)
