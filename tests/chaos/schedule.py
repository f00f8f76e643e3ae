"""Which faults, in which order: decided by the seed alone, before anything runs."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tests.chaos.faults import failpoints, kafka, postgres, processes, rollout

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Fault = "Callable[..., Awaitable[None]]"


@dataclass(frozen=True, slots=True)
class Lane:
    """Faults that follow each other; the lanes run side by side.

    Attributes:
        kinds: One round: every kind as often as it is named, in an order of the seed's.
        pause: Seconds between two faults, from and to.
        members: Of the fleet, by position, that this lane may treat.
        once: Its plan is one round.
    """

    name: str
    kinds: tuple[str, ...]
    pause: tuple[float, float]
    members: tuple[int, ...] = ()
    once: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One fault of a lane's plan."""

    kind: str
    seed: str
    pause: float


_PROCESSES: Final = (
    "sigkill",
    "sigkill",
    "model_freeze",
    "model_kill",
    "rolling_restart",
    "sigterm_job_running",
    "sigterm_kafka_frozen",
    "sigterm_kafka_gone",
    "sigterm_postgres_frozen",
    "clock_skew",
    "tiny_pool",
    "database_away_then_kill",
    "kafka_away_then_kill",
)
_KAFKA: Final = (
    "kafka_restart",
    "kafka_kill",
    "kafka_freeze",
    *2 * ("kafka_reset", "kafka_blackhole", "kafka_one_way", "kafka_half_response", "kafka_slow"),
)
_POSTGRES: Final = (
    "postgres_reset",
    "postgres_blackhole",
    "postgres_one_way",
    "postgres_half_response",
    "postgres_slow",
    "commit_reply_lost",
    "backends_terminated",
    "backends_frozen",
    "postgres_immediate_stop",
    "postgres_freeze",
    "commands_locked",
    "connections_exhausted",
    "tiny_timeouts",
)
_GROUP: Final = ("rebalance_storm", "offsets_reset")
_ZOMBIES: Final = ("zombie", "zombie_far_away")
_MEMBERS: Final = (*_PROCESSES, *_ZOMBIES, "failpoint")  # what treats processes of the service

LANES: Final = (
    Lane("processes", _PROCESSES, (0.2, 1.0), (0, 1)),
    Lane("zombies", _ZOMBIES, (6.0, 12.0), (0, 1)),
    Lane("failpoints-1", ("failpoint",), (0.2, 1.0), (2,)),
    Lane("failpoints-2", ("failpoint",), (0.2, 1.0), (3,)),
    Lane("kafka", _KAFKA, (4.0, 8.0)),
    Lane("postgres", _POSTGRES, (2.5, 5.5)),
    Lane("group", _GROUP, (15.0, 25.0)),
    Lane("upgrade", ("rolling_upgrade",), (25.0, 35.0), (0, 1, 2, 3), once=True),
)
FAULTS: Final[dict[str, Callable[..., Awaitable[None]]]] = {
    name: getattr(module, name)
    for module, names in (
        (processes, (*_PROCESSES, *_ZOMBIES)),
        (failpoints, ("failpoint",)),
        (rollout, ("rolling_upgrade",)),
        (kafka, (*_KAFKA, *_GROUP)),
        (postgres, _POSTGRES),
    )
    for name in names
}


def plan(seed: int, lane: Lane, steps: int) -> list[Step]:
    """The first faults of a lane."""
    steps = min(steps, len(lane.kinds)) if lane.once else steps
    randomness = random.Random(f"{seed} {lane.name}")
    found: list[Step] = []
    while len(found) < steps:
        kinds = list(lane.kinds)
        randomness.shuffle(kinds)
        found += [
            Step(kind, f"{seed} {lane.name} {len(found) + i}", randomness.uniform(*lane.pause))
            for i, kind in enumerate(kinds)
        ]
    return found[:steps]


def focused(kinds: tuple[str, ...]) -> tuple[Lane, ...]:
    """Few kinds, often, for a mutant."""
    ours = tuple(kind for kind in kinds if kind in _MEMBERS)
    lanes = [Lane("processes-1", ours, (0.5, 1.5), (0, 1)), Lane("processes-2", ours, (0.5, 1.5), (3, 2))]
    lanes += [
        Lane(name, tuple(kind for kind in kinds if kind in known), pause)
        for name, known, pause in (
            ("kafka", _KAFKA, (1.0, 3.0)),
            ("postgres", _POSTGRES, (0.3, 1.0)),
            ("group", _GROUP, (1.0, 3.0)),
        )
    ]
    return tuple(lane for lane in lanes if lane.kinds)


def printed(lanes: tuple[Lane, ...], seed: int, steps: int = 10) -> list[str]:
    """For people: how each lane begins."""
    begin = [f"{lane.name}: {', '.join(step.kind for step in plan(seed, lane, steps))} …" for lane in lanes]
    return [*begin, f"failpoints in turn: {', '.join(failpoints.order_of(seed))}"]


def as_json(lanes: tuple[Lane, ...], seed: int, steps: int) -> dict[str, Any]:
    """All of it, to be kept with a failing run."""
    planned: dict[str, Any] = {
        lane.name: [
            {"kind": step.kind, "seed": step.seed, "pause": round(step.pause, 2)} for step in plan(seed, lane, steps)
        ]
        for lane in lanes
    }
    return planned | {"failpoints in turn": failpoints.order_of(seed)}
