"""What a run has measured, for people and for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.measure import Result
    from benchmarks.parts import Part


def write_json(lines: Sequence[Result], path: Path, part: Part) -> None:
    """Put the lines of a part into the list of the issue's form, in place of all that it had before.

    The file is whole at any moment: a run may be interrupted while it writes.
    """
    earlier = json.loads(path.read_text()) if path.exists() else []
    kept = [entry for entry in earlier if not part.owns(entry)]
    path.parent.mkdir(exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps([*kept, *(line.to_json() for line in lines)], indent=1) + "\n")
    new.replace(path)


def print_table(results: Sequence[Result], title: str) -> None:
    """Print every line, also of what failed."""
    table = Table(title=title, title_justify="left")
    for column in ("name", "peer", "ours", "peer's", "unit", "ratio", "runs", "spread of ours", "spread of peer's"):
        table.add_column(column, justify="left" if column in ("name", "peer", "unit") else "right", overflow="fold")
    for line in results:
        spreads = [line.spread["value"], line.spread["peer_value"]]
        ends = ["-" if ends is None else f"{_short(ends[0])} .. {_short(ends[1])}" for ends in spreads]
        numbers = (_short(line.value), _short(line.peer_value))
        table.add_row(line.name, line.peer, *numbers, line.unit, _short(line.ratio), str(line.runs), *ends)
    console = Console(width=150)
    console.print(table)
    for failure in dict.fromkeys(f"{line.name}: {line.failure}" for line in results if line.failure is not None):
        console.print(failure, markup=False)


def _short(value: float | None) -> str:
    if value is None:
        return "failed"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"  # noqa: PLR2004 - where digits stop to matter
