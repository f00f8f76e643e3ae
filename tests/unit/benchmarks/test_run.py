from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, NoReturn

import pytest

from benchmarks import __main__ as program
from benchmarks.measure import Result, Series, compare
from benchmarks.parts import PARTS, Part
from benchmarks.stage import Stage
from tests.unit.benchmarks.lines import line, silent

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.progress import Progress

GIVEN = argparse.Namespace(rows=[], rounds=2, quick=False)


def stage_of(parts: list[Part], tmp_path: Path) -> Stage:
    return Stage("", 0, "", "kafka", "", tmp_path, 5, quick=True, progress=silent(parts))


def some(*modules: str) -> list[Part]:
    return [part for part in PARTS if part.module in modules]


async def test_the_file_has_every_row_as_soon_as_it_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever interrupts a run keeps what it has measured: each part finds the lines of those before it written."""
    path, seen = tmp_path / "bench.json", []

    async def measure(_: Stage, part: Part) -> list[Result]:
        seen.append(len(json.loads(path.read_text())) if path.exists() else 0)
        return [line(name, "floor", 1.0) for name in part.names]

    monkeypatch.setattr(program, "_measure", measure)
    results: list[Result] = []
    parts = some("intake", "ack", "noop")
    await program.measure_parts(stage_of(parts, tmp_path), parts, path, results)
    assert seen == [0, 1, 3]
    assert [result.name for result in results] == ["intake", "ack_p50", "ack_p99", "noop"]


async def test_a_part_gets_no_more_rounds_than_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five rounds are asked for; a million commands are sent once."""
    rounds = {}

    async def measure(stage: Stage, part: Part) -> list[Result]:
        rounds[part.module] = stage.rounds
        return []

    monkeypatch.setattr(program, "_measure", measure)
    parts = some("intake", "rss")
    await program.measure_parts(stage_of(parts, tmp_path), parts, tmp_path / "bench.json", [])
    assert rounds == {"intake": 5, "rss": 1}


async def test_a_part_that_fails_is_shown_under_every_name_it_measures(tmp_path: Path) -> None:
    """The table never loses a row: what could not even begin says why under both of its names."""
    results: list[Result] = []
    parts = [Part("no_such_module", ("ack_p50", "ack_p99"), (0, 0))]
    await program.measure_parts(stage_of(parts, tmp_path), parts, tmp_path / "bench.json", results)
    assert [(result.name, result.value) for result in results] == [("ack_p50", None), ("ack_p99", None)]
    assert all(result.failure for result in results)


@pytest.mark.parametrize(("side", "code"), [("ours", 1), ("theirs", 0)])
def test_the_exit_code_is_about_us(
    side: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A peer that fails is shown, and the run has succeeded; a row of ours that fails has failed the run."""

    async def run(_: argparse.Namespace, __: Path, ___: Progress, results: list[Result]) -> None:
        sides = {"ours": Series([1.0]), "theirs": Series([1.0])} | {side: Series([], "it broke")}
        results.append(compare("noop", "dbos", "x/s", sides["ours"], sides["theirs"]))

    monkeypatch.setattr(program, "run", run)
    assert program.main(GIVEN) == code
    assert "noop: it broke" in capsys.readouterr().out


def test_an_interrupted_run_says_what_it_has_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C prints the table of what is measured and ends with the code that a shell knows it by."""

    async def run(_: argparse.Namespace, __: Path, ___: Progress, results: list[Result]) -> NoReturn:
        results.append(line("intake", "floor", 2.0))
        raise KeyboardInterrupt

    monkeypatch.setattr(program, "run", run)
    assert program.main(GIVEN) == 130
    assert "interrupted; written to build/bench.json: intake" in capsys.readouterr().out
