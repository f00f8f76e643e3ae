from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from consumer.failpoints import FAILPOINTS
from tests.chaos.checker import INVARIANTS
from tests.chaos.records import POISON, SPECIAL
from tests.chaos.report import Report, shortfalls
from tests.chaos.schedule import FAULTS

ENOUGH = Report(
    seed=4,
    seconds=90,
    mutant=None,
    violations={name: [] for name in INVARIANTS},
    faults=Counter({**dict.fromkeys(FAULTS, 2), **{f"record:{name}": 2 for name in SPECIAL}}),
    failpoints=Counter(FAILPOINTS),
    events=Counter(zombie_write_refused=1),
    exits={"a": {"0": 3, "-9": 5, "4 at start": 1}},
    outcomes=Counter(ok=300),
    drained_after=8.0,
    bad_records=Counter(name for name, _ in POISON),
    executions=Counter(CONCLUIDO=200),
    forced=[],
)
TOO_LITTLE: dict[str, tuple[dict[str, Any], str]] = {
    "failpoint": ({"failpoints": Counter(FAILPOINTS[1:])}, f"failpoint {FAILPOINTS[0]} was never hit"),
    "zombie": ({"events": Counter()}, "no write of a zombie was refused"),
    "faults": ({"faults": Counter({**dict.fromkeys(ENOUGH.faults, 1)}), "seconds": 600}, "wanted 300"),
    "kinds": ({"faults": Counter(sigkill=100)}, "1 kinds of faults, wanted 15"),
    "executions": ({"executions": Counter(CONCLUIDO=3)}, "3 executions in 90 s"),
    "upgrade": ({"faults": ENOUGH.faults - Counter(rolling_upgrade=9)}, "rolling_upgrade"),
    "records": ({"faults": ENOUGH.faults - Counter({"record:deadline": 9})}, "no fault of the kind record:deadline"),
    "every kind": ({"faults": ENOUGH.faults - Counter(zombie=9), "seconds": 300}, "no fault of the kind zombie"),
    "poison": ({"bad_records": Counter(), "seconds": 300}, "no bad record of the kind 2000-levels"),
    "exit code": ({"exits": {"b": {"1": 2}}}, "b left by itself with exit code 1, 2 times"),
    "exit code at start": ({"exits": {"b": {"1 at start": 1}}}, "b left by itself with exit code 1 at start, 1 times"),
    "force": ({"forced": ["a was ended by force"]}, "a was ended by force"),
}


def test_a_run_that_reached_enough_passes() -> None:
    """Nothing is missing, so the last line says that all hold, and the run has not failed."""
    assert list(shortfalls(ENOUGH)) == []
    assert not ENOUGH.failed
    many = f"{ENOUGH.faults.total()} faults of {len(ENOUGH.faults)} kinds"
    assert ENOUGH.lines()[-1] == f"chaos: 8/8 invariants hold, {many}, seed 4"


@pytest.mark.parametrize("missing", TOO_LITTLE)
def test_a_run_that_reached_too_little_says_what_it_missed(missing: str) -> None:
    """Each thing that a run must reach is looked for."""
    changes, said = TOO_LITTLE[missing]
    found = list(shortfalls(replace(ENOUGH, **changes)))
    assert any(said in line for line in found), found


def test_a_shortfall_alone_fails_a_run() -> None:
    """A run that proves nothing is no success."""
    report = replace(ENOUGH, shortfalls=["failpoint in_drain was never hit"])
    assert report.failed
    assert "reached too little: failpoint in_drain was never hit" in report.lines()


def test_a_broken_invariant_is_told_and_counted() -> None:
    """The lines name the invariant and its violations, the summary counts what holds."""
    report = replace(ENOUGH, violations={**ENOUGH.violations, "I3": ["one", "two"]})
    assert report.failed
    assert report.lines()[:2] == [f"I3 ({INVARIANTS['I3']}): one", f"I3 ({INVARIANTS['I3']}): two"]
    assert report.summary.startswith("chaos: 7/8 invariants hold")


def test_the_file_holds_what_the_lines_say() -> None:
    """chaos.json can be read by machines."""
    told = json.loads(json.dumps(ENOUGH.as_json()))
    assert told["summary"] == ENOUGH.summary
    assert told["failpoints"] == dict.fromkeys(FAILPOINTS, 1)
    assert told["zombie_writes_refused"] == 1
