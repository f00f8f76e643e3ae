"""The policies by name, and the counts that each leaves behind."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum


class ReplayPolicy(StrEnum):
    """What a replay does with the commands of its range."""

    MISSING = "missing"
    REEMIT = "reemit"
    RERUN = "rerun"


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of records, or in a dry run would become of them; every record counts in one line but ``events``.

    Attributes:
        records: Records of the range.
        run: New executions.
        reemitted: Executions whose stored events were told again.
        duplicates: Records whose command was dealt with before, or earlier in this replay.
        running: Executions that have not ended and so have no end to tell.
        never_ran: Readable commands without an execution, which only ``missing`` runs.
        cancels: Cancellations; only ``missing`` carries them out, the others leave them alone.
        too_old: Records so old that the service may have forgotten whether it ran them.
        bad: Records that are refused, now or before.
        new_letters: Those of the bad that were not refused before: each becomes a dead letter.
        events: Messages of the executions that were told again.
    """

    records: int = 0
    run: int = 0
    reemitted: int = 0
    duplicates: int = 0
    running: int = 0
    never_ran: int = 0
    cancels: int = 0
    too_old: int = 0
    bad: int = 0
    new_letters: int = 0
    events: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(Tally)))
