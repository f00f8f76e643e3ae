"""What a run amounts to, and whether it reached enough to mean anything."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from consumer.failpoints import FAILPOINTS
from tests.chaos.checker import INVARIANTS
from tests.chaos.faults.failpoints import reached
from tests.chaos.fleet import log_events
from tests.chaos.records import POISON, SPECIAL
from tests.chaos.schedule import FAULTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.history import History
    from tests.chaos.rig import Rig

# In good order, killed, or by force at the end of the grace, which counts on its own below.
EXPECTED_EXITS: Final = {"0", "-9", "7"}
# Stopped or killed early, -15 before it minded signals; servers away for long; a schema that is too old.
EXPECTED_AT_START: Final = {f"{code} at start" for code in ("0", "-9", "-15", "3", "4", "5")}
SHOWN: Final = 15
SHORT_SECONDS: Final = 80  # a shorter run need not reach every failpoint
LONG_SECONDS: Final = 300  # a run of so long goes through everything that can happen


@dataclass(slots=True)
class Report:
    """The numbers of a run.

    Attributes:
        shortfalls: What it had to reach and did not.
    """

    seed: int
    seconds: float
    mutant: str | None
    violations: dict[str, list[str]]
    faults: Counter[str]
    failpoints: Counter[str]
    events: Counter[str]
    exits: dict[str, dict[str, int]]
    outcomes: Counter[str]
    drained_after: float | None
    bad_records: Counter[str]
    executions: Counter[str]
    forced: list[str]
    shortfalls: list[str] = field(default_factory=list)

    @property
    def broken(self) -> list[str]:
        return [name for name, lines in self.violations.items() if lines]

    @property
    def failed(self) -> bool:
        return bool(self.broken or self.shortfalls)

    @property
    def summary(self) -> str:
        holding = len(INVARIANTS) - len(self.broken)
        many = f"{self.faults.total()} faults of {len(self.faults)} kinds"
        return f"chaos: {holding}/{len(INVARIANTS)} invariants hold, {many}, seed {self.seed}"

    def as_json(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "seconds": self.seconds,
            "mutant": self.mutant,
            "invariants": {
                name: {"promise": INVARIANTS[name], "violations": lines} for name, lines in self.violations.items()
            },
            "faults": {
                "total": self.faults.total(),
                "kinds": len(self.faults),
                "without_records": sum(n for name, n in self.faults.items() if not name.startswith("record:")),
                "by_kind": dict(self.faults.most_common()),
            },
            "failpoints": {name: self.failpoints[name] for name in FAILPOINTS},
            "zombie_writes_refused": self.events["zombie_write_refused"],
            "leases_lost": self.events["lease_lost"],
            "records": dict(self.outcomes),
            "bad_records": dict(self.bad_records),
            "executions": dict(self.executions),
            "exits": self.exits,
            "ended_by_force_without_excuse": self.forced,
            "drained_after_seconds": self.drained_after,
            "log_events": dict(self.events.most_common()),
            "shortfalls": self.shortfalls,
            "summary": self.summary,
        }

    def lines(self) -> list[str]:
        """For people; the last line is the summary."""
        found = []
        for name, lines in self.violations.items():
            found += [f"{name} ({INVARIANTS[name]}): {line}" for line in lines[:SHOWN]]
            found += [f"{name}: … and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
        found += [f"reached too little: {line}" for line in self.shortfalls]
        drained = "not drained" if self.drained_after is None else f"drained after {self.drained_after:.1f} s"
        refused = self.events["zombie_write_refused"]
        found.append(f"executions {dict(self.executions)}, records {dict(self.outcomes)}, {drained}")
        found.append(f"failpoints hit {dict(self.failpoints)}, zombie writes refused {refused}, exits {self.exits}")
        return [*found, self.summary]


def compose(rig: Rig, violations: dict[str, list[str]], run: dict[str, Any]) -> Report:
    """Count what was reached and compare it with what a run of this length must reach."""
    history = rig.history
    report = Report(
        violations=violations,
        faults=faults_of(history, rig),
        forced=rig.forced,
        bad_records=Counter(attempt.what for attempt in history.attempts.values() if attempt.expected == "bad"),
        failpoints=reached(rig.fleet.members),
        events=log_events(rig.fleet),
        exits={member.name: dict(member.exits) for member in rig.fleet.members},
        outcomes=Counter(attempt.outcome for attempt in history.attempts.values()),
        **run,
    )
    report.shortfalls = [] if report.mutant else list(shortfalls(report))
    return report


def faults_of(history: History, rig: Rig) -> Counter[str]:
    """Faults by kind; a failpoint counts once it was reached."""
    counted = Counter(history.faults)
    counted["failpoint"] = reached(rig.fleet.members).total()
    return +counted


def shortfalls(report: Report) -> Iterator[str]:
    """Yield what is missing."""
    for name in FAILPOINTS:
        if not report.failpoints[name] and report.seconds >= SHORT_SECONDS:
            yield f"failpoint {name} was never hit"
    yield from _kinds_missing(report)
    if not report.events["zombie_write_refused"]:
        yield "no write of a zombie was refused"
    if report.faults.total() < report.seconds / 2:
        yield f"{report.faults.total()} faults in {report.seconds:g} s, wanted {report.seconds / 2:.0f}"
    if len(report.faults) < 15:
        yield f"{len(report.faults)} kinds of faults, wanted 15"
    if report.executions.total() < report.seconds / 2:
        yield f"{report.executions.total()} executions in {report.seconds:g} s"
    for member, exits in report.exits.items():
        for code in exits.keys() - EXPECTED_EXITS - EXPECTED_AT_START:
            yield f"{member} left by itself with exit code {code}, {exits[code]} times"
    yield from report.forced


def _kinds_missing(report: Report) -> Iterator[str]:
    wanted = {f"record:{name}" for name in SPECIAL if name != "oversize"} | {"rolling_upgrade"}
    if report.seconds >= LONG_SECONDS:
        wanted |= FAULTS.keys()
        bad = {name for name, _ in POISON} - report.bad_records.keys()
        yield from (f"no bad record of the kind {name}" for name in sorted(bad))
    if report.seconds >= SHORT_SECONDS:
        yield from (f"no fault of the kind {name}" for name in sorted(wanted - report.faults.keys()))
