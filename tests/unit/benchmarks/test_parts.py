from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Series, compare, failed
from benchmarks.parts import PARTS, ROWS, Part, parts_of
from benchmarks.table import write_json
from tests.unit.benchmarks.lines import line

if TYPE_CHECKING:
    from pathlib import Path


def part(module: str) -> Part:
    return next(part for part in PARTS if part.module == module)


def lines_of(path: Path) -> list[tuple[Any, ...]]:
    return [(entry["name"], entry["peer"], entry["unit"], entry["value"]) for entry in json.loads(path.read_text())]


def test_the_file_is_a_list_of_the_agreed_form(tmp_path: Path) -> None:
    """Eight keys an entry, also for what failed."""
    path = tmp_path / "build" / "bench.json"
    write_json([compare("noop", "dbos", "executions/s", Series([2.0]), Series([1.0]))], path, part("noop"))
    write_json([failed("memory", "why")], path, part("rss"))
    entries = json.loads(path.read_text())
    keys = ["name", "peer", "value", "peer_value", "unit", "ratio", "runs", "spread"]
    assert [list(entry) for entry in entries] == [keys, keys]
    assert [entry["ratio"] for entry in entries] == [2.0, None]


def test_a_row_measured_again_replaces_its_lines_only(tmp_path: Path) -> None:
    """Running one row leaves what the others measured; of the row itself no line of an earlier run stays."""
    path = tmp_path / "bench.json"
    write_json([line("noop", "dbos", 1.0), line("noop", "pgqueuer", 1.0)], path, part("noop"))
    write_json([line("intake", "floor", 1.0)], path, part("intake"))
    write_json([line("noop", "dbos", 5.0)], path, part("noop"))
    assert lines_of(path) == [("intake", "floor", "x/s", 1.0), ("noop", "dbos", "x/s", 5.0)]


def test_parts_of_one_row_leave_each_others_lines(tmp_path: Path) -> None:
    """Two parts measure lines named `predict`, and two `memory`: each replaces its own, also after a failure."""
    path = tmp_path / "bench.json"
    idle, peak = "MB idle", "MB, peak of train and predict, 50,000 products against 5,000"
    write_json([line("predict", "library", 1.0, "s")], path, part("predict"))
    write_json([failed("predict", "no sales", "s, trained")], path, part("predict_trained"))
    write_json([line("memory", "self", 1.0, idle)], path, part("rss"))
    write_json([line("memory", "self", 2.0, peak)], path, part("memory"))
    write_json([line("predict", "library", 3.0, "s, trained, 9 real products")], path, part("predict_trained"))
    write_json([line("memory", "self", 4.0, idle)], path, part("rss"))
    assert lines_of(path) == [
        ("predict", "library", "s", 1.0),
        ("memory", "self", peak, 2.0),
        ("predict", "library", "s, trained, 9 real products", 3.0),
        ("memory", "self", idle, 4.0),
    ]


def test_what_takes_very_long_is_asked_for() -> None:
    """Without rows everything runs but for the peak of memory, which half an hour is needed for."""
    assert [part.module for part in PARTS if part not in parts_of([])] == ["memory"]
    assert [part.module for part in parts_of(["memory"])] == ["rss"]
    assert [part.module for part in parts_of(["memory_peak"])] == ["memory"]
    assert [part.module for part in parts_of(["ack_p99", "intake", "intake"])] == ["intake", "ack"]
    assert ROWS[-1] == "memory_peak"


def test_some_parts_have_fewer_rounds_than_asked_for() -> None:
    """A million commands are sent once, however many rounds the others have; never are there more than asked for."""
    assert part("rss").rounds_of(5) == 1
    assert part("growth").rounds_of(2) == 2
    assert part("intake").rounds_of(7) == 7


def test_the_whole_run_fits_into_an_hour() -> None:
    """Five rounds of everything that need not be asked for, by what each part is expected to take on quiet cores."""
    assert sum(part.expected(5) for part in parts_of([])) < 3600
