"""``python -m benchmarks [ROW...] [--rounds N] [--quick]``: one table of what the service costs beside its peers."""

from __future__ import annotations

import argparse
import asyncio
import logging
from importlib import import_module
from typing import Final

from benchmarks.measure import Result, failed
from benchmarks.stage import PROJECT, Stage, open_stage, servers
from benchmarks.table import print_table, write_json
from consumer.telemetry.logs import configure

# The rows of the table, and the modules that measure each.
ROWS: Final = {
    "intake": ("intake",),
    "ack_p50": ("ack",),
    "ack_p99": ("ack",),
    "noop": ("noop",),
    "step_log": ("step_log",),
    "results": ("results",),
    "series": ("series",),
    "predict": ("predict", "predict_trained"),
    "scale_out": ("scale_out",),
    "growth": ("growth",),
    "start_help": ("start",),
    "start_run": ("start",),
    "memory": ("rss", "memory"),
}
ROUNDS: Final = 5
QUICK_ROUNDS: Final = 2
BUILD: Final = PROJECT / "build"


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}; none: all")
    parser.add_argument("--rounds", type=int, help=f"of each comparison; {ROUNDS} unless told, {QUICK_ROUNDS} if quick")
    parser.add_argument("--quick", action="store_true", help="small sizes: does it work; the numbers mean little")
    given = parser.parse_args()
    if unknown := set(given.rows) - set(ROWS):
        parser.error(f"unknown row {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    return given


async def measure_rows(stage: Stage, rows: list[str]) -> list[Result]:
    """All rows, one module after the other; one that fails does not end the others."""
    results: list[Result] = []
    for module in dict.fromkeys(module for row in rows for module in ROWS[row]):
        print(f"{module}:")
        try:
            results += await import_module(f"benchmarks.{module}").measure(stage)
        except Exception as error:  # noqa: BLE001 - the table shows what could not be measured
            why = f"{type(error).__name__}: {error}"
            results += [failed(row, why) for row, modules in ROWS.items() if module in modules]
            print(f"  not measured: {why}")
    return results


async def run(given: argparse.Namespace) -> None:
    """Servers, rows, table, file."""
    rounds = given.rounds or (QUICK_ROUNDS if given.quick else ROUNDS)
    with servers() as (postgres, bootstrap_servers, kind):
        async with open_stage(postgres, bootstrap_servers, kind, rounds, quick=given.quick) as stage:
            results = await measure_rows(stage, list(dict.fromkeys(given.rows)) or list(ROWS))
    title = f"medians of {rounds} rounds" + (" (quick: small sizes, the numbers mean little)" if given.quick else "")
    print_table(results, title)
    path = BUILD / ("bench-quick.json" if given.quick else "bench.json")
    write_json(results, path)
    print(f"written to {path.relative_to(PROJECT)}")


if __name__ == "__main__":
    configure("console", "error")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a fresh topic has no leader for some milliseconds
    asyncio.run(run(arguments()))
