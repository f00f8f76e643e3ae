from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.backpressure import Backpressure, rest_seconds
from consumer.errors import TransientError
from tests.fakes import CapturedLog


class ScriptedQueue:
    """Answers with each length in turn, counted up to the bound; ``exhausted`` is set by the look after the last."""

    def __init__(self, *lengths: int | Exception) -> None:
        self._lengths = list(lengths)
        self.bounds: list[int] = []
        self.exhausted = asyncio.Event()

    async def queued(self, at_most: int) -> int:
        self.bounds.append(at_most)
        if not self._lengths:
            self.exhausted.set()
            await asyncio.Event().wait()
        length = self._lengths.pop(0)
        if isinstance(length, Exception):
            raise length
        return min(length, at_most)


class Bench:
    def __init__(self, *lengths: int | Exception, limit: int = 100) -> None:
        self.queue, self.log = ScriptedQueue(*lengths), CapturedLog()
        self.turns: list[bool] = []
        self.observed: list[int] = []
        self.backpressure = Backpressure(self.queue, self, limit, self.observed.append, self.log.log)

    def pause(self, *, paused: bool) -> None:
        self.turns.append(paused)


async def test_intake_pauses_at_the_limit() -> None:
    """One command below the limit nothing happens; at the limit the tap is turned off, once."""
    bench = Bench(99, 100, 250)
    assert [await bench.backpressure.run_once() for _ in range(3)] == [False, True, True]
    assert bench.turns == [True]


async def test_intake_resumes_only_below_four_fifths() -> None:
    """A paused intake stays paused down to 80 % of the limit and goes on one command below."""
    bench = Bench(100, 99, 80, 79)
    assert [await bench.backpressure.run_once() for _ in range(4)] == [True, True, True, False]
    assert bench.turns == [True, False]


async def test_every_look_is_observed_and_every_turn_logged() -> None:
    """Metrics hear each length, counted no further than the limit; the log hears of turns alone."""
    bench = Bench(7, 500, 90, 0)
    for _ in range(4):
        await bench.backpressure.run_once()
    assert bench.observed == [7, 100, 90, 0]
    assert bench.queue.bounds == [100] * 4
    told = [(entry["event"], entry["queued"], entry["limit"]) for entry in bench.log.entries]
    assert told == [("intake_paused", 100, 100), ("intake_resumed", 0, 100)]


@pytest.mark.parametrize(("look", "rest"), [(0.002, 1.0), (0.025, 2.5), (0.3, 10.0)])
def test_a_long_queue_is_counted_less_often(look: float, rest: float) -> None:
    """Counting takes longer the more waits: it may cost a hundredth of the time, up to ten seconds' rest."""
    assert rest_seconds(look) == pytest.approx(rest)


async def test_nothing_is_turned_while_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that fails changes nothing, whether intake flows or not, and the next look comes all the same."""
    monkeypatch.setattr("consumer.backpressure.LOOK_SECONDS", 0.0)
    away = TransientError("database away")
    bench = Bench(away, 100, away, away, 10)
    running = asyncio.create_task(bench.backpressure.run())
    async with asyncio.timeout(10):
        await bench.queue.exhausted.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert bench.log.names == [
        "queue_not_measured",
        "intake_paused",
        "queue_not_measured",
        "queue_not_measured",
        "intake_resumed",
    ]
    assert bench.log.entries[0]["error"] == "database away"
    assert (bench.turns, bench.observed) == ([True, False], [100, 10])


@given(limit=st.integers(1, 200), shares=st.lists(st.integers(0, 300), max_size=40))
async def test_intake_never_flutters_between_the_thresholds(limit: int, shares: list[int]) -> None:
    """Whatever the lengths (percent of the limit), only the limit pauses, only less than 80 % of it resumes."""
    lengths = [limit * share // 100 for share in shares]
    bench = Bench(*lengths, limit=limit)
    expected, turns = False, []
    for length in lengths:
        wanted = True if length >= limit else False if 5 * length < 4 * limit else expected
        if wanted is not expected:
            turns.append(wanted)
        expected = wanted
        assert await bench.backpressure.run_once() is expected
    assert bench.turns == turns
