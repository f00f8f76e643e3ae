"""One whole run, and the focused run of a mutant."""

from __future__ import annotations

import json
import time
from collections import Counter
from itertools import count
from typing import TYPE_CHECKING, Final

from tests.chaos.checker import decided_already, verdict
from tests.chaos.driver import PATIENCE_SECONDS, drain, leave, storm
from tests.chaos.evidence import gather
from tests.chaos.history import History
from tests.chaos.mutants import MUTANTS, Mutant
from tests.chaos.report import Report, compose
from tests.chaos.schedule import LANES, as_json, focused, printed
from tests.chaos.stage import staged

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chaos.rig import Rig

STORM: Final = "the service is up, the storm begins"
RATE: Final = 2.0
MUTANT_RATE: Final = 3.0
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
            print(STORM, flush=True)
            await storm(rig, LANES, seed, seconds, rate, PATIENCE_SECONDS)
            drained = await drain(rig)
            await leave(rig)
            found = await _verdict(rig)
        executions = Counter(found[1])
        run = {"seed": seed, "seconds": seconds, "mutant": None, "drained_after": drained, "executions": executions}
        return compose(rig, found[0], run)


async def mutant_run(directory: Path, seed: int, name: str) -> str | None:
    """Storms that suit the mutant until an invariant that it must break is broken; how that shows, None if not."""
    directory.mkdir(parents=True, exist_ok=True)
    with History(directory / "history.jsonl") as history:
        async with staged(directory.absolute(), history, seed, name) as rig:
            started = time.monotonic()
            rounds = count(seed)
            while time.monotonic() - started < LAST_ROUND_SECONDS:
                broken = await _focused_round(rig, MUTANTS[name], next(rounds))
                if broken:
                    return broken[0]
    return None


async def control_run(directory: Path, seed: int) -> list[str]:
    """The healthy service under each mutant's storm in turn, judged as the mutants are; what was found all the same."""
    directory.mkdir(parents=True, exist_ok=True)
    with History(directory / "history.jsonl") as history:
        async with staged(directory.absolute(), history, seed) as rig:
            for name, mutant in MUTANTS.items():
                broken = await _focused_round(rig, mutant, seed)
                if broken:
                    return [f"under the storm of {name}: {line}" for line in broken]
    return []


async def _focused_round(rig: Rig, mutant: Mutant, seed: int) -> list[str]:
    """A storm and a calm; violations of the mutant's invariants, of what is decided when not all was finished."""
    await storm(rig, focused(mutant.focus), seed, MUTANT_STORM_SECONDS, MUTANT_RATE)
    drained = await drain(rig, MUTANT_DRAIN_SECONDS)
    findings = await gather(rig.url, rig.topics, rig.history)
    judge = decided_already if drained is None else verdict
    violations = judge(findings, rig.history)
    rig.history.write("round", seed=seed, drained=drained, violations=violations)
    return [f"{which}: {line}" for which in mutant.breaks for line in violations[which]]


async def _verdict(rig: Rig) -> tuple[dict[str, list[str]], list[str]]:
    findings = await gather(rig.url, rig.topics, rig.history)
    return verdict(findings, rig.history), list(findings.evidence.executions.values())
