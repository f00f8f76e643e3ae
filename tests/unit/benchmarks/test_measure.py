from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from benchmarks.measure import OURSELVES, Series, alternate, compare, failed
from benchmarks.table import print_table
from tests.unit.benchmarks.lines import line, silent

if TYPE_CHECKING:
    import pytest

Round = Callable[[], Awaitable[Mapping[str, float]]]


def contestant(name: str, order: list[str], *values: float | Exception) -> Round:
    """Gives one value a round."""
    left = iter(values)

    async def run() -> Mapping[str, float]:
        order.append(name)
        value = next(left)
        if isinstance(value, Exception):
            raise value
        return {"rate": value}

    return run


async def test_every_round_is_begun_by_another_one() -> None:
    """Whoever runs first may find colder caches: each contestant is first in turn, and each runs once a round."""
    order: list[str] = []
    await alternate({name: contestant(name, order, 1, 2, 3, 4) for name in "abc"}, 4, silent())
    assert ["".join(order[start : start + 3]) for start in range(0, 12, 3)] == ["abc", "bca", "cab", "abc"]


async def test_the_values_of_all_rounds_are_kept() -> None:
    """No round is dropped, neither the best nor the worst."""
    measured = await alternate({"a": contestant("a", [], 3, 900, 1)}, 3, silent())
    series = measured["a"]["rate"]
    assert series.values == [3, 900, 1]
    assert (series.median, series.range) == (3, (1, 900))


async def test_one_that_fails_is_left_out_and_has_no_median() -> None:
    """A contestant that fails once runs no more, and its earlier rounds are no result; the others go on."""
    order: list[str] = []
    rounds = {"a": contestant("a", order, 5, ValueError("broken")), "b": contestant("b", order, 1, 2, 3)}
    measured = await alternate(rounds, 3, silent())
    assert order.count("a") == 2
    assert measured["b"]["rate"].median == 2
    assert measured["a"]["rate"].median is None
    assert "ValueError: broken" in (measured["a"]["rate"].failure or "")


async def test_a_long_failure_keeps_both_ends() -> None:
    """What did not happen is said first, and the end of a process's log follows: neither may be cut off."""
    error = RuntimeError("no 5 commands; the end of its log: " + "x" * 5000 + " the last line")
    measured = await alternate({"a": contestant("a", [], error)}, 1, silent())
    failure = measured["a"]["rate"].failure or ""
    assert "no 5 commands" in failure
    assert failure.endswith("the last line")
    assert len(failure) < 500


async def test_one_that_fails_in_the_first_round_says_so_for_every_number() -> None:
    """A number that was never measured carries the failure, too."""
    measured = await alternate({"a": contestant("a", [], ValueError("broken"))}, 2, silent())
    line = compare("intake", "a", "x/s", Series([1.0]), measured["a"]["whatever"])
    assert (line.value, line.peer_value, line.ratio) == (1.0, None, None)
    assert "broken" in (line.failure or "")


def test_the_ratio_is_of_the_medians() -> None:
    """Value through peer's value; runs are those that both sides have."""
    line = compare("intake", "floor", "commands/s", Series([10, 30, 20]), Series([40, 40]))
    assert (line.value, line.peer_value, line.ratio, line.runs) == (20, 40, 0.5, 2)
    assert line.spread == {"value": (10, 30), "peer_value": (40, 40)}


def test_only_a_row_of_ours_fails_the_run() -> None:
    """A peer that fails leaves our number standing; where the service is its own peer, both sides are ours."""
    ours, gone = Series([1.0]), Series([], "broken")
    assert not compare("noop", "dbos", "x/s", ours, gone).ours_failed
    assert compare("noop", "dbos", "x/s", gone, ours).ours_failed
    assert compare("growth", OURSELVES, "x/s", ours, gone).ours_failed
    assert failed("noop", "no such module").ours_failed


def test_the_table_shows_failures(capsys: pytest.CaptureFixture[str]) -> None:
    """What could not be measured is a line like the others, with the reason below."""
    print_table([line("intake", "floor", 1.0), failed("memory", "no such module")], "medians")
    printed = capsys.readouterr().out
    assert "memory" in printed
    assert "failed" in printed
    assert "memory: no such module" in printed
