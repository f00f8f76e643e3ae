"""``python -m benchmarks [ROW...] [--rounds N] [--quick]``: one table of what the service costs beside its peers."""

from __future__ import annotations

import argparse
import asyncio
from importlib import import_module
from typing import Final

from benchmarks.measure import Result, failed, print_table, write_json
from benchmarks.stage import PROJECT, Stage, open_stage, servers
from consumer.telemetry.logs import configure

# The row's name on the command line; the module of the same name measures it.
ROWS: Final = (
    *("intake", "ack", "noop", "step_log", "results", "series"),
    *("predict", "scale_out", "growth", "start", "memory"),
)
ROUNDS: Final = 5
QUICK_ROUNDS: Final = 2
OUTPUT: Final = PROJECT / "build" / "bench.json"


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
    """All rows, one after the other; one that fails does not end the others."""
    results: list[Result] = []
    for row in rows:
        print(f"{row}:")
        try:
            results += await import_module(f"benchmarks.{row}").measure(stage)
        except Exception as error:  # noqa: BLE001 - the table shows what could not be measured
            results.append(failed(row, f"{type(error).__name__}: {error}"))
            print(f"  not measured: {type(error).__name__}: {error}")
    return results


async def run(given: argparse.Namespace) -> None:
    """Servers, rows, table, file."""
    rounds = given.rounds or (QUICK_ROUNDS if given.quick else ROUNDS)
    with servers() as (postgres, bootstrap_servers, kind):
        async with open_stage(postgres, bootstrap_servers, kind, rounds, quick=given.quick) as stage:
            results = await measure_rows(stage, list(dict.fromkeys(given.rows)) or list(ROWS))
    title = f"medians of {rounds} rounds" + (" (quick: small sizes, the numbers mean little)" if given.quick else "")
    print_table(results, title)
    if not given.quick:
        write_json(results, OUTPUT)
        print(f"written to {OUTPUT.relative_to(PROJECT)}")


if __name__ == "__main__":
    configure("console", "error")
    asyncio.run(run(arguments()))
