"""``python -m accuracy``: forecasts of the last 13 weeks of a year of real sales, by everything that can make some.

Writes ``build/accuracy.json`` and prints the same as a table.
"""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from accuracy import library
from accuracy.alone import MODELS, alone
from accuracy.engine import Engine
from accuracy.metrics import change, coverage, measure
from accuracy.pictures import write_pictures
from accuracy.sales import split
from consumer.forecasting.calibration import PATTERNS
from consumer.forecasting.compute import warm_up
from consumer.forecasting.summary import merge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from concurrent.futures import Executor

    from accuracy.sales import Split
    from consumer.forecasting.types import FloatArray, PlannedProduct

RESULT = Path("build/accuracy.json")


class Table:
    """The rows, printed as they come."""

    def __init__(self, sales: Split) -> None:
        changes = np.array([change(history) for history in sales.histories()])
        self._absolute, self._squared = changes.T
        self._actual = sales.held_out
        self.rows: list[dict[str, Any]] = []

    def add(self, name: str, engine: str, make: Callable[[], Iterable[FloatArray]]) -> FloatArray:
        """Time ``make``, which gives the forecasts of all products block by block, and measure what it gave."""
        began = time.perf_counter()
        quantiles = np.concatenate(list(make()))
        seconds = time.perf_counter() - began
        found = asdict(measure(self._actual, quantiles, self._absolute, self._squared))
        row = {"name": name, "engine": engine, **found, "seconds": round(seconds, 1)}
        self.rows.append(row)
        _print(row)
        return quantiles


def main(products: int | None, processes: int, result: Path, earlier: int, pictures: Path | None = None) -> None:
    """Evaluate, print, write."""
    sales = split(products, earlier)
    print(f"{len(sales.product_ids)} products, known until {sales.as_of}, 13 weeks held out")
    table = Table(sales)
    context = get_context("spawn")
    with (
        ProcessPoolExecutor(processes, context, initializer=warm_up) as pool,
        TemporaryDirectory() as directory,
    ):
        engine = Engine(sales, pool, Path(directory))
        began = time.perf_counter()
        engine.train()
        print(f"train: {time.perf_counter() - began:.0f} s with {processes} processes")
        planned = engine.plan()
        _heading()
        auto = table.add("auto", "ours", lambda: _volumes(engine, planned))
        for variant in MODELS:
            works = [(variant, work) for work in engine.works(planned)]
            table.add(variant, "ours", partial(pool.map, alone, works))
        _libraries(table, sales, pool)
        _print_choices(engine, planned)
    if pictures is not None:
        print("pictures:", *write_pictures(pictures, sales, planned, auto))
    patterns = _by_pattern(planned, sales.held_out, auto)
    result.parent.mkdir(parents=True, exist_ok=True)
    result.write_text(json.dumps({"rows": table.rows, "patterns": patterns}, indent=1) + "\n")
    for name, found in patterns.items():
        shares = f"p10-p90 {found['coverage_80']:.3f}  p25-p75 {found['coverage_50']:.3f}"
        print(f"{name:14} {shares}  of {found['products']}")


def _volumes(engine: Engine, planned: tuple[PlannedProduct, ...]) -> list[FloatArray]:
    return [np.stack([one.volume for one in part.forecasts]) for part in engine.predict(planned)]


def _libraries(table: Table, sales: Split, pool: Executor) -> None:
    histories, size = sales.histories(), 500
    blocks = [tuple(histories[first : first + size]) for first in range(0, len(histories), size)]
    for kind, models in (("library", library.MODELS), ("baseline", library.BASELINE)):
        for name in models:
            requests = [(name, block) for block in blocks]
            table.add(name, kind, partial(pool.map, library.forecast, requests))


def _by_pattern(
    planned: Sequence[PlannedProduct], actual: FloatArray, quantiles: FloatArray
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    of_product = np.array([product.padrao_demanda for product in planned])
    for pattern in PATTERNS:
        own = of_product == pattern
        if own.any():
            outer, inner = coverage(actual[own], quantiles[own])
            found[pattern] = {"coverage_80": outer, "coverage_50": inner, "products": int(own.sum())}
    return found


def _print_choices(engine: Engine, planned: tuple[PlannedProduct, ...]) -> None:
    summary = merge(part.summary for part in engine.predict(planned))
    for kind in ("models", "chosen_by", "fallbacks"):
        print(f"{kind}: {json.dumps(summary[kind], indent=1)}")


_COLUMNS = ("scaled_mae", "rmsse", "wape", "bias", "pinball", "coverage_80", "coverage_50")


def _heading() -> None:
    print(f"{'':18} {'':9}" + "".join(f"{name:>12}" for name in (*_COLUMNS, "seconds", "products")))


def _print(row: dict[str, Any]) -> None:
    values = "".join(f"{row[name]:12.4f}" for name in _COLUMNS)
    print(f"{row['name']:18} {row['engine']:9}{values}{row['seconds']:12.1f}{row['products']:12}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--products", type=int, help="a sample of so many products; all if not given")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--earlier", type=int, default=0, help="end the year so many weeks earlier, to try things out")
    parser.add_argument("--result", type=Path, default=RESULT)
    parser.add_argument("--pictures", type=Path, help="a directory for a picture of each pattern")
    arguments = parser.parse_args()
    main(arguments.products, arguments.processes, arguments.result, arguments.earlier, arguments.pictures)
