"""Data on stdout: JSON for programs, tables for people."""

from __future__ import annotations

import json
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.events import iso_milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MAX_JSON_CELL: Final = 300  # a summary may be pages long; --json gives all of it
PIPED_WIDTH: Final = 200  # where no terminal says how wide it is, nothing should be cut
STYLES: Final[Mapping[str, str]] = {
    "CONCLUIDO": "green",
    "COMPLETED": "green",
    "PARCIAL": "yellow",
    "EXECUTANDO": "cyan",
    "RUNNING": "cyan",
    "PENDENTE": "blue",
    "SKIPPED": "dim",
    "ERRO": "bold red",
    "FAILED": "bold red",
    "REJECTED": "bold red",
}


def print_json(value: Any) -> None:
    """One JSON document on one line."""
    typer.echo(json.dumps(value, ensure_ascii=False, default=_plain))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """A table whose cells are folded, never cut."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    console().print(table)


def print_pairs(title: str, pairs: Mapping[str, object]) -> None:
    """Names and values, one below the other."""
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs.items():
        table.add_row(Text(name), _cell(value))
    console().print(table)


def console(*, stderr: bool = False) -> Console:
    """Made anew each time, so that it writes to what the streams are now."""
    made = Console(stderr=stderr, highlight=False)
    if not made.is_terminal:
        made.width = PIPED_WIDTH
    return made


def moment(value: datetime | None) -> str:
    """A time to the second, UTC."""
    return "" if value is None else f"{iso_milliseconds(value)[:19].replace('T', ' ')}Z"


def _cell(value: object) -> Text:
    """Text, never markup: what users and producers wrote must not change the table's looks."""
    if value is None:
        return Text("")
    if isinstance(value, datetime):
        return Text(moment(value))
    if isinstance(value, (dict, list)):
        told = json.dumps(value, ensure_ascii=False, default=_plain)
        return Text(told if len(told) <= MAX_JSON_CELL else f"{told[:MAX_JSON_CELL]}… (all of it: --json)")
    text = str(value)
    return Text(text, style=STYLES.get(text, ""))


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return iso_milliseconds(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return str(value)
