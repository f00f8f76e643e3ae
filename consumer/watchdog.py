"""A thread that ends the process when something that must keep turning has stopped: better restarted than hanging.

What it watches are turns, not successes: a loop that fails against a database which is down still turns.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from consumer.clock import Clock
    from consumer.exit_codes import ExitCode

LOOK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Watched:
    """Something that turns: ``last_turn`` is read on the clock's monotonic scale."""

    name: str
    last_turn: Callable[[], float]
    longest_seconds: float
    exit_code: ExitCode


class Watchdog:
    """Owns its thread. Use ``with``; it works even when the event loop does not."""

    def __init__(
        self,
        watched: tuple[Watched, ...],
        clock: Clock,
        log: FilteringBoundLogger,
        leave: Callable[[int], None] = os._exit,
    ) -> None:
        self._watched = watched
        self._clock = clock
        self._log = log
        self._leave = leave
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def stuck(self) -> dict[str, str]:
        """What has not turned for too long."""
        now = self._clock.monotonic()
        ages = {watched: now - watched.last_turn() for watched in self._watched}
        return {
            watched.name: f"no turn for {age:.0f} s" for watched, age in ages.items() if age > watched.longest_seconds
        }

    def look(self) -> ExitCode | None:
        """One look; the exit code of the first thing that is stuck."""
        stuck = self.stuck()
        return next((watched.exit_code for watched in self._watched if watched.name in stuck), None)

    def _run(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            code = self.look()
            if code is not None:
                self._log.critical("process_stuck", exit_code=int(code), **self.stuck())
                self._leave(code)
                return
