"""``python -m benchmarks [ROW...] [--rounds N] [--quick]``: one table of what the service costs beside its peers."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Final

from benchmarks.measure import Result, failed
from benchmarks.parts import ROWS, Part, parts_of
from benchmarks.progress import Progress
from benchmarks.stage import PROJECT, Stage, open_stage, servers
from benchmarks.table import print_table, write_json
from consumer.telemetry.logs import configure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ROUNDS: Final = 5
QUICK_ROUNDS: Final = 2
BUILD: Final = PROJECT / "build"
INTERRUPTED: Final = 130  # as a shell says it of SIGINT


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}; none: all but the last")
    parser.add_argument("--rounds", type=int, help=f"of each comparison; {ROUNDS} unless told, {QUICK_ROUNDS} if quick")
    parser.add_argument("--quick", action="store_true", help="small sizes: does it work; the numbers mean little")
    given = parser.parse_args()
    if unknown := set(given.rows) - set(ROWS):
        parser.error(f"unknown row {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    given.rounds = given.rounds or (QUICK_ROUNDS if given.quick else ROUNDS)
    return given


async def measure_parts(stage: Stage, parts: Sequence[Part], path: Path, results: list[Result]) -> None:
    """One part after the other, each one's lines in the file and in ``results`` before the next begins.

    One that fails does not end the others.
    """
    for part in parts:
        with stage.progress.measuring(part):
            lines = await _measure(replace(stage, rounds=part.rounds_of(stage.rounds)), part)
        results += lines
        write_json(lines, path, part)


async def _measure(stage: Stage, part: Part) -> list[Result]:
    try:
        lines: list[Result] = await import_module(f"benchmarks.{part.module}").measure(stage)
    except Exception as error:  # noqa: BLE001 - the table shows what could not be measured
        why = f"{type(error).__name__}: {error}"
        stage.progress.say(f"  not measured: {why}")
        return [failed(name, why, part.unit or "-") for name in part.names]
    return lines


async def run(given: argparse.Namespace, path: Path, progress: Progress, results: list[Result]) -> None:
    """Servers and everything that is to be measured."""
    with servers() as (postgres, bootstrap_servers, kind), progress.shown():
        async with open_stage(
            postgres, bootstrap_servers, kind, given.rounds, quick=given.quick, progress=progress
        ) as stage:
            await measure_parts(stage, parts_of(given.rows), path, results)


def main(given: argparse.Namespace) -> int:
    """Measure and print what was measured, also of a run that is interrupted; the exit code."""
    path = BUILD / ("bench-quick.json" if given.quick else "bench.json")
    results: list[Result] = []
    progress = Progress(parts_of(given.rows), given.rounds, quick=given.quick)
    try:
        asyncio.run(run(given, path, progress, results))
        interrupted = False
    except KeyboardInterrupt:
        interrupted = True
    title = f"medians of {given.rounds} rounds" + (" (quick: small sizes, the numbers mean little)" * given.quick)
    print_table(results, title)
    print(progress.summary())
    names = ", ".join(dict.fromkeys(result.name for result in results)) or "nothing"
    print(f"{'interrupted; ' * interrupted}written to {path.relative_to(PROJECT)}: {names}")
    return INTERRUPTED if interrupted else int(any(result.ours_failed for result in results))


if __name__ == "__main__":
    configure("console", "error")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a fresh topic has no leader for some milliseconds
    sys.exit(main(arguments()))
