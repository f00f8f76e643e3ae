"""Six ways to break a guarantee, put on the running service by the chaos entry module; the rig must catch each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.chaos.mutants import intake, relay, writes

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Mutant:
    """A broken service.

    Attributes:
        breaks: The invariants that it must be caught by.
        focus: Kinds of faults, by lane, that bring the damage to light soonest.
    """

    what: str
    apply: Callable[[], None]
    focus: tuple[str, ...]
    breaks: tuple[str, ...]


MUTANTS: Final[dict[str, Mutant]] = {
    "fence-removed": Mutant(
        "a write is accepted whatever its epoch", writes.remove_fence, ("zombie", "zombie_far_away"), ("I3",)
    ),
    "auto-commit": Mutant(
        "offsets are committed by the client's timer",
        intake.commit_automatically,
        ("database_away_then_kill",),
        ("I6",),
    ),
    "outbox-cursor": Mutant(
        "the outbox is drained by id > cursor", relay.drain_by_cursor, ("postgres_slow", "backends_frozen"), ("I4",)
    ),
    "deleted-early": Mutant(
        "outbox rows are deleted before the broker's acknowledgement",
        relay.delete_early,
        ("kafka_away_then_kill",),
        ("I4",),
    ),
    "identity-removed": Mutant(
        "a redelivered command is taken for a new one", intake.remove_identity, ("offsets_reset", "sigkill"), ("I1",)
    ),
    "results-appended": Mutant(
        "results are appended in a transaction of their own, not replaced together with the checkpoint",
        writes.append_results,
        ("failpoint", "sigkill", "backends_terminated"),
        ("I8",),
    ),
}
