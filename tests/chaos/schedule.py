"""Which faults, in which order: decided by the seed alone, before anything runs."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tests.chaos.faults import kafka, postgres, processes

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
    """

    name: str
    kinds: tuple[str, ...]
    pause: tuple[float, float]
    members: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One fault of a lane's plan."""

    kind: str
    seed: str
    pause: float


_PROCESSES: Final = (
    "zombie",
    "zombie",
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
    "database_away_then_kill",
)
_KAFKA: Final = (
    "kafka_restart",
    "kafka_kill",
    "kafka_freeze",
    "kafka_reset",
    "kafka_blackhole",
    "kafka_one_way",
    "kafka_half_response",
    "kafka_slow",
)
_POSTGRES: Final = (
    "postgres_reset",
    "postgres_blackhole",
    "postgres_one_way",
    "postgres_half_response",
    "postgres_slow",
    "commit_reply_lost",
    "backends_terminated",
    "postgres_immediate_stop",
    "postgres_freeze",
    "pool_exhausted",
    "connections_exhausted",
    "tiny_timeouts",
)

LANES: Final = (
    Lane("processes", _PROCESSES, (0.2, 1.0), (0, 1)),
    Lane("failpoints-1", ("failpoint",), (0.2, 1.0), (2,)),
    Lane("failpoints-2", ("failpoint",), (0.2, 1.0), (3,)),
    Lane("kafka", _KAFKA, (4.0, 8.0)),
    Lane("postgres", _POSTGRES, (2.5, 5.5)),
    Lane("group", ("rebalance_storm", "offsets_reset"), (20.0, 30.0)),
)
FAULTS: Final[dict[str, Callable[..., Awaitable[None]]]] = {
    name: getattr(module, name)
    for module, names in (
        (processes, (*_PROCESSES, "failpoint")),
        (kafka, (*_KAFKA, "rebalance_storm", "offsets_reset")),
        (postgres, _POSTGRES),
    )
    for name in names
}


def plan(seed: int, lane: Lane, steps: int) -> list[Step]:
    """The first faults of a lane."""
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
    ours = tuple(kind for kind in kinds if kind in (*_PROCESSES, "failpoint"))
    lanes = [Lane("processes-1", ours, (0.5, 1.5), (0, 1)), Lane("processes-2", ours, (0.5, 1.5), (2, 3))]
    lanes += [
        Lane(name, tuple(kind for kind in kinds if kind in known), (1.0, 3.0))
        for name, known in (("kafka", _KAFKA), ("postgres", _POSTGRES), ("group", ("rebalance_storm", "offsets_reset")))
    ]
    return tuple(lane for lane in lanes if lane.kinds)


def printed(lanes: tuple[Lane, ...], seed: int, steps: int = 12) -> list[str]:
    """For people: how each lane begins."""
    return [f"{lane.name}: {', '.join(step.kind for step in plan(seed, lane, steps))} …" for lane in lanes]


def as_json(lanes: tuple[Lane, ...], seed: int, steps: int) -> dict[str, list[dict[str, Any]]]:
    """All of it, to be kept with a failing run."""
    return {
        lane.name: [
            {"kind": step.kind, "seed": step.seed, "pause": round(step.pause, 2)} for step in plan(seed, lane, steps)
        ]
        for lane in lanes
    }
