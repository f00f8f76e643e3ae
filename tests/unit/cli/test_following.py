from __future__ import annotations

import asyncio
import io
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from consumer.cli.failure import TIMED_OUT, say
from consumer.cli.work import following
from consumer.cli.work.event_lines import event_line
from consumer.cli.work.following import BarView, follow
from consumer.client.inbox import SentCommand
from consumer.exit_codes import ExitCode
from schemas.enums import TopicKind
from tests.unit.client.events import COMMAND, EXECUTION, SOURCE, event, rejection, status, step

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from consumer.client.client import ForecastClient
    from consumer.client.events import Event

MOMENT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


class FakeClient:
    """Tells prepared events after some seconds; then it ends, or the time is up."""

    def __init__(self, *events: Event, late: bool = False, after: float = 0.0) -> None:
        self._events = events
        self._late = late
        self._after = after

    async def follow(self, _sent: SentCommand, _seconds: float | None) -> AsyncIterator[Event]:
        await asyncio.sleep(self._after)
        for item in self._events:
            yield item
        if self._late:
            raise TimeoutError


async def outcome(
    *events: Event,
    kind: TopicKind = TopicKind.TRAIN,
    late: bool = False,
    as_json: bool = False,
    after: float = 0.0,
) -> int:
    client = cast("ForecastClient", FakeClient(*events, late=late, after=after))
    return await follow(client, SentCommand(kind, SOURCE, COMMAND, "t", None, MOMENT), 5.0, as_json=as_json)


async def test_success_is_code_0(capsys: pytest.CaptureFixture[str]) -> None:
    """CONCLUIDO ends with 0 and says which execution it was."""
    told = (event(status("PENDENTE", 1)), event(status("CONCLUIDO", 2)), event(step(10, "COMPLETED", 1)))
    assert await outcome(*told) == ExitCode.OK
    assert capsys.readouterr().out == f"train CONCLUIDO {EXECUTION}\n"


async def test_partial_success_is_code_0_with_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    """PARCIAL has results, so it ends with 0, but not in silence."""
    assert await outcome(event(status("PARCIAL", 2))) == ExitCode.OK
    captured = capsys.readouterr()
    assert "train PARCIAL" in captured.out
    assert "warning: some products failed" in captured.err


async def test_error_is_code_1_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    """ERRO ends with 1 and tells code and message."""
    assert await outcome(event(status("ERRO", 2, error="no-data"))) == ExitCode.FAILED
    assert "ended in ERRO: no product has data (no-data)" in capsys.readouterr().err


async def test_rejection_is_code_1_with_its_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    """A rejection ends with 1 and tells every reason."""
    assert await outcome(event(rejection())) == ExitCode.FAILED
    assert "was rejected: priority is the integer 12; it must be from 0 to 9 (out-of-range)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (status("ERRO", 2, error="cancelled"), ExitCode.OK),
        (status("ERRO", 2, error="no-data"), ExitCode.FAILED),
        (status("CONCLUIDO", 2), ExitCode.FAILED),
    ],
)
async def test_cancellation_succeeds_when_its_execution_was_cancelled(end: object, code: int) -> None:
    """The ERRO that a cancellation causes is its success; an execution that ended otherwise was not cancelled."""
    assert await outcome(event(end), kind=TopicKind.CANCEL) == code  # type: ignore[arg-type]  # parametrize knows no types


async def test_silence_is_a_timeout_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    """Without any event the code is that of timeout(1), and the line says where to look."""
    assert await outcome(late=True) == TIMED_OUT
    assert "is the service running?" in capsys.readouterr().err


@pytest.mark.parametrize("as_json", [False, True])
async def test_silence_is_told_of_once_while_it_lasts(
    *, as_json: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wait without a bound says on stderr what may be the matter, and goes on; it may be a repeated command."""
    monkeypatch.setattr(following, "SILENCE_SECONDS", 0.01)
    assert await outcome(event(status("CONCLUIDO", 2)), after=0.1, as_json=as_json) == ExitCode.OK
    told = capsys.readouterr().err
    assert told.count("A command whose id was used before is not run again") == 1
    assert f"nothing is heard of command {COMMAND}" in told


async def test_answer_in_time_ends_the_silence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once the service has answered, a long computation is no reason to doubt."""
    monkeypatch.setattr(following, "SILENCE_SECONDS", 0.05)
    client = cast("ForecastClient", FakeClient(event(status("PENDENTE", 1)), late=True))
    sent = SentCommand(TopicKind.TRAIN, SOURCE, COMMAND, "t", None, MOMENT)
    await follow(client, sent, 5.0, as_json=False)
    await asyncio.sleep(0.1)
    assert "nothing is heard" not in capsys.readouterr().err


async def test_timeout_of_a_running_execution_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    """Once the execution is known, its id is in the line."""
    assert await outcome(event(status("PENDENTE", 1)), late=True) == TIMED_OUT
    assert f"watch --execucao-id {EXECUTION}" in capsys.readouterr().err


async def test_json_is_a_line_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    """With ``--json`` stdout has the events and nothing else."""
    told = (event(status("PENDENTE", 1)), event(step(4, "RUNNING", 1)), event(status("ERRO", 2, error="no-data")))
    assert await outcome(*told, as_json=True) == ExitCode.FAILED
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["id"] for line in lines] == [item.id for item in told]


def test_bar_follows_percent_and_step() -> None:
    """The bar shows percent, step, products and the time that is left, and ends at the state."""
    screen = io.StringIO()
    columns = (TextColumn("{task.percentage:.0f}|{task.fields[state]}|{task.fields[rest]}"),)
    with Progress(*columns, console=Console(file=screen, width=100)) as progress:
        view = BarView(progress, TopicKind.TRAIN)
        view.show(event(status("EXECUTANDO", 2, percent=40)))
        (task,) = progress.tasks
        assert (task.percentage, task.fields["state"]) == (40, "4/10 execute_ets")
        assert task.fields["rest"] == "800/2000  about 12 s left"
        view.show(event(step(4, "RUNNING", 1)))
        assert task.percentage == 40
        view.show(event(status("CONCLUIDO", 3)))
        assert (task.percentage, task.fields["state"]) == (100, "CONCLUIDO")


def test_line_for_people_stands_above_the_bar() -> None:
    """What is said while a bar is shown goes through it: the bar's next picture would wipe it away."""
    screen = io.StringIO()
    with Progress(console=Console(file=screen, force_terminal=True, width=100)) as progress:
        progress.add_task("predict", total=100)
        say("is the service running?")
    assert "forecast-consumer: is the service running?\n" in screen.getvalue()


def test_failed_bar_stays_where_it_was() -> None:
    """An execution that ended in ERRO is not shown as full."""
    with Progress(console=Console(file=io.StringIO())) as progress:
        view = BarView(progress, TopicKind.TRAIN)
        view.show(event(status("EXECUTANDO", 2, percent=40)))
        view.show(event(status("ERRO", 3, error="no-data")))
        assert progress.tasks[0].percentage == 40


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        (status("PENDENTE", 1), ("12:00:00", EXECUTION, "PENDENTE", "train")),
        (status("EXECUTANDO", 2, percent=40), ("40 %", "execute_ets", "800/2000", "about 12 s left")),
        (status("ERRO", 3, error="no-data"), ("ERRO", "no-data: no product has data")),
        (
            step(4, "SKIPPED", 1, details={"reason": "not [red]installed"}),
            ("step 4/10 execute_ets", "not [red]installed"),
        ),
        (step(4, "COMPLETED", 2, duration_ms=1840, products_processed=7, products_total=9), ("1840 ms", "7/9")),
        (rejection(), ("REJECTED", "forecast.train/2/17", "priority is the integer 12", "out-of-range")),
    ],
)
def test_event_is_one_readable_line(body: object, parts: tuple[str, ...]) -> None:
    """A line says when, which execution, what state, and what else is known; markup in it stays text."""
    line = event_line(event(body)).plain  # type: ignore[arg-type]  # parametrize knows no types
    assert all(part in line for part in parts)
    assert "\n" not in line
