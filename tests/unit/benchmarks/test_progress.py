from __future__ import annotations

import io

import pytest
from rich.console import Console

from benchmarks.parts import Part
from benchmarks.progress import Progress

PARTS = [
    Part("intake", ("intake",), (60, 60)),
    Part("noop", ("noop",), (0, 120)),
    Part("rss", ("memory",), (0, 240), 1),
]


class Watch:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def printed() -> io.StringIO:
    return io.StringIO()


def progress(watch: Watch, printed: io.StringIO, *, quick: bool = False) -> Progress:
    return Progress(PARTS, 2, quick=quick, console=Console(file=printed, width=200), clock=watch)


def test_the_line_names_the_row_the_round_and_what_is_left(watch: Watch, printed: io.StringIO) -> None:
    """Expected are 3 minutes of intake, 4 of noop and 4 of one round of memory; one has passed."""
    seen = progress(watch, printed)
    with seen.measuring(PARTS[0]):
        seen.turn(1, 2, "floor")
        watch.now = 60
        assert seen.line() == "[1/3] intake, round 1 of 2, floor, 1:00 elapsed, about 10 min left"


def test_a_slow_machine_is_taken_into_account(watch: Watch, printed: io.StringIO) -> None:
    """The first row has taken twice as long as expected, so the rest will."""
    seen = progress(watch, printed)
    with seen.measuring(PARTS[0]):
        watch.now = 360
    with seen.measuring(PARTS[1]):
        assert seen.line() == "[2/3] noop, 6:00 elapsed, about 16 min left"


def test_a_quick_run_counts_rows(watch: Watch, printed: io.StringIO) -> None:
    """How long small sizes take is not known before."""
    seen = progress(watch, printed, quick=True)
    with seen.measuring(PARTS[1]):
        assert seen.line() == "[1/3] noop, 0:00 elapsed, then 2 more"


def test_without_a_terminal_every_round_is_a_line(watch: Watch, printed: io.StringIO) -> None:
    """Nothing moves in a log: each contestant's round is printed when it has ended."""
    seen = progress(watch, printed)
    with seen.shown(), seen.measuring(PARTS[0]):
        seen.turn(2, 2, "ours")
        watch.now = 75
        seen.ended("rate 1,234")
    assert printed.getvalue().splitlines() == [
        "[1/3] intake, 0:00 elapsed, about 11 min left",
        "  round 2 of 2, ours: rate 1,234  (1:15)",
    ]
    assert seen.summary() == "took 1:15: intake 1:15"
