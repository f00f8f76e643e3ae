"""``python -m tests.chaos``: the service under faults for a while, and the verdict on its eight invariants."""

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
from tests.chaos.run import chaos, control_run, mutant_run

BUILD: Final = Path("build")
CAUGHT_SECONDS: Final = 120.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--build", type=Path, default=BUILD, help="where logs and reports go")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), default=None)
    parser.add_argument("--mutants", action="store_true")
    options = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    if options.mutant:
        return int(not _caught(options.mutant, seed))
    if options.mutants:
        return _mutants(seed)
    return _run(options.build, seed, options.seconds)


def _run(build: Path, seed: int, seconds: float) -> int:
    directory = _empty(build / f"chaos-{seed}")
    kept = f"logs, history and schedule: {directory}; again: make chaos SECONDS={seconds:g} SEED={seed}"
    try:
        report = asyncio.run(chaos(directory, seed, seconds))
    except BaseException:
        print(kept, flush=True)
        raise
    build.joinpath("chaos.json").write_text(json.dumps(report.as_json(), indent=2) + "\n", encoding="utf-8")
    lines = report.lines()
    if report.failed:
        lines.insert(-1, kept)
    else:
        shutil.rmtree(directory)
    print("\n".join(lines))
    return int(report.failed)


def _mutants(seed: int) -> int:
    """Each mutant must be caught, and the healthy service must not be."""
    caught = sum(_caught(name, seed) for name in MUTANTS)
    directory = _empty(BUILD / "chaos-control")
    accused = asyncio.run(control_run(directory, seed))
    print("\n".join(f"control: {line}" for line in accused) or "control: nothing found", flush=True)
    if not accused:
        shutil.rmtree(directory)
    control = "control accused" if accused else "control clean"
    print(f"mutants: {caught}/{len(MUTANTS)} caught, {control}, seed {seed}")
    return int(caught < len(MUTANTS) or bool(accused))


def _caught(name: str, seed: int) -> bool:
    directory = _empty(BUILD / f"chaos-mutant-{name}")
    started = time.monotonic()
    how = asyncio.run(mutant_run(directory, seed, name))
    seconds = time.monotonic() - started
    caught = how is not None and seconds <= CAUGHT_SECONDS
    told = f"{'caught' if caught else 'caught too late,'} after {seconds:.0f} s: {how}" if how else "NOT caught"
    print(f"mutant {name} ({MUTANTS[name].what}): {told}", flush=True)
    if caught:
        shutil.rmtree(directory)
    else:
        print(f"logs, history and schedule: {directory}; again: python -m tests.chaos --mutant {name} --seed {seed}")
    return caught


def _empty(directory: Path) -> Path:
    shutil.rmtree(directory, ignore_errors=True)
    return directory


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
