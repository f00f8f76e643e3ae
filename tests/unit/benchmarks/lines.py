"""Lines of the table, and a progress that nobody sees."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console

from benchmarks.measure import Result, Series, compare
from benchmarks.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.parts import Part


def line(name: str, peer: str, value: float, unit: str = "x/s") -> Result:
    return compare(name, peer, unit, Series([value]), Series([1.0]))


def silent(parts: Sequence[Part] = ()) -> Progress:
    return Progress(parts, console=Console(file=io.StringIO()))
