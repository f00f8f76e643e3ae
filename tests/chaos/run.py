"""One whole run, and the focused run of a mutant."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from tests.chaos.checker import verdict
from tests.chaos.driver import PATIENCE_SECONDS, drain, leave, storm
from tests.chaos.evidence import gather
from tests.chaos.history import History
from tests.chaos.mutants import MUTANTS
from tests.chaos.report import Report, compose
from tests.chaos.schedule import LANES, as_json, focused, printed
from tests.chaos.stage import staged

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chaos.rig import Rig

RATE: Final = 2.0
LAST_ROUND_SECONDS: Final = 60.0  # a round that began later would end beyond a mutant's two minutes
MUTANT_STORM_SECONDS: Final = 20.0
MUTANT_DRAIN_SECONDS: Final = 25.0


async def chaos(directory: Path, seed: int, seconds: float, rate: float = RATE) -> Report:
    """Storm, calm, verdict."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.joinpath("schedule.json").write_text(json.dumps(as_json(LANES, seed, int(seconds) + 20), indent=1))
    print(f"seed {seed}, {seconds:g} s; the schedule begins:", *printed(LANES, seed), sep="\n  ", flush=True)
    with History(directory / "history.jsonl") as history:
        async with staged(directory.absolute(), history, seed) as rig:
            await storm(rig, LANES, seed, seconds, rate, PATIENCE_SECONDS)
            drained = await drain(rig)
            await leave(rig)
            found = await _verdict(rig)
        executions = Counter(found[1])
        run = {"seed": seed, "seconds": seconds, "mutant": None, "drained_after": drained, "executions": executions}
        return compose(rig, found[0], run)


async def mutant_run(directory: Path, seed: int, name: str) -> str | None:
    """Storms that suit the mutant until one of its invariants breaks; how that shows, None if it does not."""
    mutant = MUTANTS[name]
    directory.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with History(directory / "history.jsonl") as history:
        async with staged(directory.absolute(), history, seed, name) as rig:
            while time.monotonic() - started < LAST_ROUND_SECONDS:
                round_seed = seed + int(time.monotonic() - started)
                await storm(rig, focused(mutant.focus), round_seed, MUTANT_STORM_SECONDS, 2 * RATE)
                drained = await drain(rig, MUTANT_DRAIN_SECONDS)
                violations, _ = await _verdict(rig)
                # What has not ended yet looks like I1 broken, and need not be the mutant's fault.
                telling = [which for which in mutant.breaks if violations[which] and (drained or which != "I1")]
                broken = [f"{which}: {violations[which][0]}" for which in telling]
                if broken:
                    return broken[0]
    return None


async def _verdict(rig: Rig) -> tuple[dict[str, list[str]], list[str]]:
    findings = await gather(rig.url, rig.topics, rig.history)
    return verdict(findings, rig.history), list(findings.evidence.executions.values())
