"""``executions diff``: what two executions were asked for, what they worked on and what came of it, side by side."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from consumer.cli.failure import CommandError, say
from consumer.cli.work.connecting import open_database
from consumer.cli.work.printing import print_json, print_table
from consumer.db.comparison import compare_metrics, compare_results, read_side
from consumer.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from consumer.db.comparison import RowDifference, Side

_DATA: Final = ("data_hash", "seed", "as_of", "horizon_weeks", "products")
_SHOWN: Final = 5  # products that only one has; --json names all


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was compared; ``section`` groups them."""

    section: str
    name: str
    a: Any
    b: Any

    @property
    def equal(self) -> bool:
        """Whether both are the same."""
        return bool(self.a == self.b)


def diff_executions(a: str, b: str, *, as_json: bool) -> int:
    """Print the differences; the exit code: 0 equal, 1 different.

    Raises:
        CommandError: One does not exist, or the database cannot be reached or read.
    """
    lines, forecasts, metrics = asyncio.run(_read(a, b))
    equal = all(line.equal for line in lines) and forecasts.equal and metrics.equal
    if as_json:
        compared = [{**asdict(line), "equal": line.equal} for line in lines]
        rows = {"forecasts": asdict(forecasts), "metric_rows": asdict(metrics)}
        print_json({"a": a, "b": b, "equal": equal, "compared": compared, **rows})
    else:
        _show(a, b, lines, forecasts, metrics)
        say("the two are equal" if equal else "the two differ")
    return ExitCode.OK if equal else ExitCode.FAILED


def compare(a: Side, b: Side) -> list[Line]:
    """Everything about the two but their rows; ids and times of day are no difference."""
    return [
        Line("result", "status", a.status, b.status),
        Line("result", "error", a.error, b.error),
        *_lines("parameters", a.parameters, b.parameters),
        *(Line("data", name, a.summary.get(name), b.summary.get(name)) for name in _DATA),
        *_lines("libraries", a.libraries, b.libraries),
        *_lines("metrics", flat(a.summary.get("metrics", {})), flat(b.summary.get("metrics", {}))),
    ]


def flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by their path."""
    found: dict[str, Any] = {}
    for name, inner in value.items():
        path = f"{prefix}{name}"
        found |= flat(inner, f"{path}.") if isinstance(inner, dict) else {path: inner}
    return found


def _lines(section: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Line]:
    """A line for each name that one of them has, in the order of the first."""
    return [Line(section, name, a.get(name), b.get(name)) for name in dict.fromkeys((*a, *b))]


async def _read(a: str, b: str) -> tuple[list[Line], RowDifference, RowDifference]:
    async with open_database() as database, database.session() as session:
        sides = [(name, await read_side(session, name)) for name in (a, b)]
        found = [side for _, side in sides if side is not None]
        missing = [name for name, side in sides if side is None]
        if missing:
            raise CommandError(f"there is no execution {missing[0]!r}; `executions list` shows the newest")
        lines = compare(*found)
        return lines, await compare_results(session, a, b), await compare_metrics(session, a, b)


def _show(a: str, b: str, lines: list[Line], forecasts: RowDifference, metrics: RowDifference) -> None:
    rows = [(line.section, line.name, line.a, line.b, "" if line.equal else "different") for line in lines]
    print_table(("", "what", f"A {a}", f"B {b}", ""), rows)
    columns = ("rows", "A", "B", "in one only", "differ", "largest difference", "products only in A", "only in B")
    named = (("forecasts", forecasts), ("metrics", metrics))
    print_table(
        columns,
        [
            (
                *(name, rows_.rows_a, rows_.rows_b, rows_.unpaired, rows_.differing, rows_.largest),
                *(_products(rows_.only_a), _products(rows_.only_b)),
            )
            for name, rows_ in named
        ],
    )


def _products(ids: list[str]) -> str:
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    return ", ".join(ids[:_SHOWN]) + more
