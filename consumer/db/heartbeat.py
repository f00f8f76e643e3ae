"""Prolonging leases without ever waiting long for one command that somebody has locked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from consumer.model import ExecutionId, Lease
from consumer.ports.queue import LeaseState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import RowMapping

    from consumer.db.database import Database

_LOCK_NOT_AVAILABLE: Final = "55P03"
# In the order in which intake locks commands, so that no two transactions wait for each other.
_EXTEND: Final = """
    WITH mine AS MATERIALIZED (
        SELECT c.source, c.event_id FROM forecast_consumer.command AS c
          JOIN unnest(cast(:ids AS text[]), cast(:epochs AS bigint[])) AS held(execucao_id, epoch)
            ON c.execucao_id = held.execucao_id AND c.lease_epoch = held.epoch
         WHERE c.state = 'running' ORDER BY c.execucao_id FOR UPDATE OF c {locked})
    UPDATE forecast_consumer.command AS c
       SET lease_until = clock_timestamp() + make_interval(secs => :lease_seconds)
      FROM mine WHERE c.source = mine.source AND c.event_id = mine.event_id
 RETURNING c.execucao_id, c.lease_epoch, c.cancel_reason IS NOT NULL AS cancelled,
           coalesce(c.expires_at <= clock_timestamp(), false) AS expired"""
_EXTEND_FREE: Final = text(_EXTEND.format(locked="SKIP LOCKED"))
_EXTEND_ALL: Final = text(_EXTEND.format(locked=""))
_STILL_OURS: Final = text("""
    SELECT c.execucao_id, c.lease_epoch FROM forecast_consumer.command AS c
      JOIN unnest(cast(:ids AS text[]), cast(:epochs AS bigint[])) AS held(execucao_id, epoch)
        ON c.execucao_id = held.execucao_id AND c.lease_epoch = held.epoch
     WHERE c.state = 'running'""")
_LOCK_TIMEOUT: Final = text("SELECT set_config('lock_timeout', :milliseconds, true)")


async def extend_leases(
    database: Database, leases: Sequence[Lease], lease_seconds: float
) -> Mapping[Lease, LeaseState]:
    """Prolong what is ours; what does not come back is lost.

    First those that nobody has locked. A locked one is probably being written by our own worker, so it is waited for,
    up to a sixth of the lease; past that it counts as held, for while it is locked nobody can take it over.
    """
    async with database.transaction() as session:
        rows = (await session.execute(_EXTEND_FREE, _parameters(leases, lease_seconds))).mappings().all()
    states = dict.fromkeys(leases, LeaseState.LOST) | _states(rows)
    rest = [lease for lease in leases if states[lease] is LeaseState.LOST]
    return states | await _extend_locked(database, rest, lease_seconds) if rest else states


async def _extend_locked(database: Database, leases: Sequence[Lease], seconds: float) -> dict[Lease, LeaseState]:
    async with database.session() as session:
        rows = (await session.execute(_STILL_OURS, _parameters(leases))).mappings().all()
    locked = [_lease(row) for row in rows]
    if not locked:
        return {}
    try:
        async with database.transaction() as session:
            await session.execute(_LOCK_TIMEOUT, {"milliseconds": str(max(1, int(seconds * 1000 / 6)))})
            rows = (await session.execute(_EXTEND_ALL, _parameters(locked, seconds))).mappings().all()
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        return dict.fromkeys(locked, LeaseState.HELD)
    return _states(rows)


def _parameters(leases: Sequence[Lease], lease_seconds: float | None = None) -> dict[str, Any]:
    arrays = {"ids": [lease.execucao_id for lease in leases], "epochs": [lease.epoch for lease in leases]}
    return arrays if lease_seconds is None else {**arrays, "lease_seconds": lease_seconds}


def _states(rows: Sequence[RowMapping]) -> dict[Lease, LeaseState]:
    return {_lease(row): _state(row) for row in rows}


def _lease(row: RowMapping) -> Lease:
    return Lease(ExecutionId(row["execucao_id"]), row["lease_epoch"])


def _state(row: RowMapping) -> LeaseState:
    if row["cancelled"]:
        return LeaseState.CANCELLED
    return LeaseState.EXPIRED if row["expired"] else LeaseState.HELD
