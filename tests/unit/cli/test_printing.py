from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from consumer.cli.work.printing import print_json, print_pairs, print_table
from consumer.cli.work.topic_work import TopicState

if TYPE_CHECKING:
    import pytest

MOMENT = datetime(2026, 11, 23, 12, 0, 0, 250_000, tzinfo=UTC)


def test_json_of_what_the_database_gives(capsys: pytest.CaptureFixture[str]) -> None:
    """Times, dates, decimals and records become JSON values, on one line."""
    print_json([MOMENT, date(2026, 11, 23), Decimal("1.50"), TopicState("t", None)])
    told = capsys.readouterr().out
    assert told.count("\n") == 1
    assert json.loads(told) == ["2026-11-23T12:00:00.250Z", "2026-11-23", 1.5, {"topic": "t", "partitions": None}]


def test_table_cuts_no_id_and_reads_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    """Where no terminal bounds the width ids stand whole, and brackets are text."""
    ids = [f"0190b2c4-7b1e-7cc3-98c4-dc0c0c0739{number:02}" for number in range(4)]
    print_table(("a", "b", "c", "d", "when"), [(*ids, MOMENT), ("[red]x[/red]", None, 1, "ERRO", None)])
    told = capsys.readouterr().out
    assert all(name in told for name in (*ids, "[red]x[/red]", "2026-11-23 12:00:00Z"))


def test_long_summary_is_cut_with_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    """A summary of pages does not bury the rest, and the way to all of it is told."""
    print_pairs("title", {"resumo": {str(number): "x" * 20 for number in range(100)}, "after": "the rest"})
    told = capsys.readouterr().out
    assert "--json" in told
    assert "the rest" in told
    assert len(told.splitlines()) < 10
