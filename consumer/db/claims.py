"""From a claimed row to a claim, or to why this version of the service cannot read it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from consumer.db.command_rows import cause_of, execution_of
from consumer.model import ExecutionId, Lease
from consumer.ports.queue import Claim
from schemas.commands import parse_command
from schemas.enums import CommandKind
from schemas.errors import BadRecord

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy import RowMapping

    from consumer.model import Execution
    from consumer.outbound import Cause


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A command that a newer version of the service must have taken in; ``field`` is what this one cannot read."""

    execucao_id: str
    field: str
    problem: str


def read_claims(rows: Iterable[RowMapping]) -> tuple[list[Claim], list[Unreadable]]:
    """By priority, then age; those that cannot be read apart."""
    claims: list[Claim] = []
    unreadable: list[Unreadable] = []
    for row in sorted(rows, key=lambda row: (row["priority"], row["received_at"])):
        read = _read(row)
        if isinstance(read, Claim):
            claims.append(read)
        else:
            unreadable.append(read)
    return claims, unreadable


def begin_claimed(
    claims: Iterable[Claim], rows: Iterable[RowMapping], now: datetime, max_attempts: int
) -> tuple[list[Claim], list[tuple[Execution, Cause]]]:
    """Begin what is claimed, but for what is late or cancelled: who runs that ends it without a beginning.

    Returns:
        The claims, and what is to be saved of those that begin.
    """
    locked = {row["execucao_id"]: row for row in rows}
    told: list[Claim] = []
    begun: list[tuple[Execution, Cause]] = []
    for claim in claims:
        row = locked[claim.lease.execucao_id]
        late = claim.expired or claim.attempt > max_attempts or row["cancel_reason"] is not None
        told.append(replace(claim, begun=not late))
        if not late:
            execution = execution_of(row)
            execution.set_out(now, planned=claim.plan is not None)
            begun.append((execution, cause_of(row)))
    return told, begun


def _read(row: RowMapping) -> Claim | Unreadable:
    name, kind, payload = row["execucao_id"], row["comando"], row["payload"]
    if kind not in set(CommandKind):
        return Unreadable(name, "comando", f"{kind!r} is no command that this version knows")
    if not isinstance(payload, dict):
        return Unreadable(name, "value", f"the stored data is a {type(payload).__name__}, not an object")
    try:
        command = parse_command(CommandKind(kind), payload)
    except BadRecord as error:
        return Unreadable(name, error.errors[0].path, "; ".join(one.message for one in error.errors))
    return Claim(
        lease=Lease(ExecutionId(name), row["lease_epoch"]),
        comando=CommandKind(kind),
        command=command,
        attempt=row["attempt"],
        expired=row["expired"],
        plan=row["plan"],
        origin={
            "command_id": f"{row['source']} {row['event_id']}",
            "topic": row["origin_topic"],
            "partition": row["origin_partition"],
            "offset": row["origin_offset"],
        },
    )
