from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from consumer.exit_codes import ExitCode
from consumer.watchdog import Watchdog, Watched
from tests.fakes import CapturedLog, ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_SECONDS = 10.0  # of the test, for a thread that was told to do something


class Bench:
    """Two things that turn: the poll may rest for 30 seconds, the relay for 60."""

    def __init__(self) -> None:
        self.clock, self.log = ManualClock(), CapturedLog()
        self.turns = {"poll": 0.0, "relay": 0.0}
        self.left: list[int] = []
        self.gone, self.looked = threading.Event(), threading.Event()
        watched = (
            Watched("poll", self._last_turn("poll"), 30.0, ExitCode.NO_POLL),
            Watched("relay", self._last_turn("relay"), 60.0, ExitCode.NO_RELAY),
        )
        self.watchdog = Watchdog(watched, self.clock, self.log.log, self._leave)

    def _last_turn(self, name: str) -> Callable[[], float]:
        def read() -> float:
            self.looked.set()
            return self.turns[name]

        return read

    def _leave(self, code: int) -> None:
        self.left.append(code)
        self.gone.set()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr("consumer.watchdog.LOOK_SECONDS", 0.001)
    return Bench()


def test_what_turns_is_left_alone(bench: Bench) -> None:
    """Up to its longest pause nothing is stuck, and time since the start of the clock does not matter."""
    bench.clock.seconds = 30.0
    assert (bench.watchdog.stuck(), bench.watchdog.look()) == ({}, None)
    bench.clock.seconds = 5000.0
    bench.turns |= {"poll": 4970.0, "relay": 4940.0}
    assert (bench.watchdog.stuck(), bench.watchdog.look()) == ({}, None)


def test_what_is_stuck_is_named_with_its_age(bench: Bench) -> None:
    """What has not turned for longer than it may is told by name, the rest is not; its exit code says which."""
    bench.clock.seconds = 100.0
    bench.turns |= {"poll": 95.0, "relay": 10.0}
    assert bench.watchdog.stuck() == {"relay": "no turn for 90 s"}
    assert bench.watchdog.look() is ExitCode.NO_RELAY


def test_first_thing_that_is_stuck_gives_the_exit_code(bench: Bench) -> None:
    """When several things are stuck all are named, and the first of them gives the exit code."""
    bench.clock.seconds = 61.0
    assert list(bench.watchdog.stuck()) == ["poll", "relay"]
    assert bench.watchdog.look() is ExitCode.NO_POLL


def test_thread_ends_the_process_once(bench: Bench) -> None:
    """The thread logs what is stuck, leaves with its exit code, and does not do so again."""
    bench.clock.seconds = 45.0
    with bench.watchdog:
        assert bench.gone.wait(PATIENCE_SECONDS)
        bench.watchdog._thread.join(PATIENCE_SECONDS)
        assert not bench.watchdog._thread.is_alive()
    assert bench.left == [ExitCode.NO_POLL]
    [entry] = bench.log.entries
    assert (entry["event"], entry["log_level"], entry["exit_code"]) == ("process_stuck", "critical", 8)
    assert entry["poll"] == "no turn for 45 s"


def test_thread_does_nothing_while_everything_turns(bench: Bench) -> None:
    """The thread looks again and again without a word; only when something stops does it leave."""
    with bench.watchdog:
        for _ in range(3):
            bench.looked.clear()
            assert bench.looked.wait(PATIENCE_SECONDS)
        assert (bench.left, bench.log.entries) == ([], [])
        bench.turns["poll"] = 61.0
        bench.clock.seconds = 61.0
        assert bench.gone.wait(PATIENCE_SECONDS)
    assert bench.left == [ExitCode.NO_RELAY]


def test_thread_ends_with_its_block(bench: Bench) -> None:
    """After the block nothing is watched any more: a process that is closing is not ended for it."""
    with bench.watchdog:
        assert bench.looked.wait(PATIENCE_SECONDS)
    bench.watchdog._thread.join(PATIENCE_SECONDS)
    bench.clock.seconds = 1000.0
    assert not bench.watchdog._thread.is_alive()
    assert bench.left == []
