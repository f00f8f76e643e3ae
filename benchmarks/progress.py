"""How far a run is: lines as they come, and in a terminal one below them that moves."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.parts import Part


class Progress:
    """What runs now, since when, and about how long the rest takes.

    Args:
        parts: All that the run measures, in order.
        rounds: How many are asked for.
        quick: The sizes are small, and nobody has written down how long they take.
    """

    def __init__(
        self,
        parts: Sequence[Part] = (),
        rounds: int = 1,
        *,
        quick: bool = False,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._parts = parts
        self._rounds = rounds
        self._quick = quick
        self._console = console or Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)
        self._clock = clock
        self._began = self._part_began = clock()
        self._now: Part | None = None
        self._done = 0
        self._turn = ""
        self.seconds: dict[str, float] = {}

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Keep the moving line on a terminal."""
        if not self._console.is_terminal:
            yield
            return
        spinner = Spinner("dots")
        with Live(console=self._console, get_renderable=lambda: _beside(spinner, self.line()), transient=True):
            yield

    @contextmanager
    def measuring(self, part: Part) -> Iterator[None]:
        """Name the part, and keep how long it took."""
        self._now, self._turn, self._part_began = part, "", self._clock()
        self.say(self.line())
        try:
            yield
        finally:
            self.seconds[part.module] = self._clock() - self._part_began
            self._done += 1
            self._now = None

    def turn(self, number: int, rounds: int, contestant: str) -> None:
        """Somebody's round begins."""
        self._turn = f"round {number} of {rounds}, {contestant}"

    def ended(self, numbers: str) -> None:
        """It has ended, with these numbers or this failure."""
        self.say(f"  {self._turn}: {numbers}  ({_clock_time(self._clock() - self._began)})")

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, markup=False)

    def summary(self) -> str:
        """How long everything took."""
        each = [f"{module} {_clock_time(seconds)}" for module, seconds in self.seconds.items()]
        return f"took {_clock_time(self._clock() - self._began)}: {', '.join(each)}"

    def line(self) -> str:
        """Row, round, elapsed, and what is left."""
        place = f"[{self._done + 1}/{len(self._parts)}] {' '.join(self._now.names)}" if self._now is not None else ""
        said = [place, self._turn, f"{_clock_time(self._clock() - self._began)} elapsed", self._left()]
        return ", ".join(part for part in said if part)

    def _left(self) -> str:
        rest = self._parts[self._done + 1 :]
        if self._quick:
            return f"then {len(rest)} more" if rest else "the last one"
        pace = self._pace()
        running = pace * self._now.expected(self._rounds) - self._clock() + self._part_began if self._now else 0.0
        seconds = max(0.0, running) + pace * sum(part.expected(self._rounds) for part in rest)
        return f"about {max(1, round(seconds / 60))} min left"

    def _pace(self) -> float:
        """How much longer than expected everything takes on this machine, by what it has taken so far."""
        expected = sum(part.expected(self._rounds) for part in self._parts if part.module in self.seconds)
        return sum(self.seconds.values()) / expected if expected else 1.0


def _beside(spinner: Spinner, line: str) -> Spinner:
    spinner.update(text=Text(line))
    return spinner


def _clock_time(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
