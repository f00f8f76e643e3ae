"""``python -m tests.chaos``: the service under faults for a while, and the verdict on its eight guarantees."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import sys
import time
from pathlib import Path
from typing import Final

from tests.chaos.mutants import MUTANTS
from tests.chaos.run import chaos, mutant_run

BUILD: Final = Path("build")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--mutant", choices=sorted(MUTANTS), default=None)
    parser.add_argument("--mutants", action="store_true")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    if options.mutants or options.mutant:
        return _mutants([options.mutant] if options.mutant else list(MUTANTS), seed)
    directory = BUILD / f"chaos-{seed}"
    shutil.rmtree(directory, ignore_errors=True)
    report = asyncio.run(chaos(directory, seed, options.seconds))
    BUILD.joinpath("chaos.json").write_text(json.dumps(report.as_json(), indent=2) + "\n", encoding="utf-8")
    if report.failed:
        print(f"logs, history and schedule: {directory}; again: make chaos SECONDS={options.seconds:g} SEED={seed}")
    else:
        shutil.rmtree(directory)
    print("\n".join(report.lines()))
    return int(report.failed)


def _mutants(names: list[str], seed: int) -> int:
    missed = 0
    for name in names:
        directory = BUILD / f"chaos-mutant-{name}"
        shutil.rmtree(directory, ignore_errors=True)
        started = time.monotonic()
        caught = asyncio.run(mutant_run(directory, seed, name))
        seconds = time.monotonic() - started
        missed += not caught
        told = f"caught after {seconds:.0f} s: {caught}" if caught else f"NOT caught within {seconds:.0f} s"
        print(f"mutant {name} ({MUTANTS[name].what}): {told}", flush=True)
        if caught:
            shutil.rmtree(directory)
    print(f"mutants: {len(names) - missed}/{len(names)} caught, seed {seed}")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
