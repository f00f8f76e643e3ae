"""Relays that lose messages."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from consumer.db import outbox as sql
from consumer.db.own_tables import outbox


def drain_by_cursor() -> None:
    """Ids are given before they are committed: what commits late with a low id is never seen."""
    original = sql.SqlOutbox.pending

    async def pending(self: Any, limit: int, leave_out: Any = frozenset()) -> list[Any]:
        last = getattr(self, "last_id", 0)
        rows = [entry for entry in await original(self, limit, leave_out) if entry[0] > last]
        if not rows:
            # The rows left behind fill the batch: look beyond them, as a query with a cursor would.
            async with self._database.session() as session:
                ids = await session.scalars(select(outbox.c.id).where(outbox.c.id > last).limit(1))
                if ids.first() is not None:
                    rows = [entry for entry in await original(self, limit * 100, leave_out) if entry[0] > last][:limit]
        return rows

    async def delete(self: Any, ids: Any) -> None:
        await forget(self, ids)
        self.last_id = max(getattr(self, "last_id", 0), *ids)

    forget = sql.SqlOutbox.delete
    sql.SqlOutbox.pending = pending  # type: ignore[method-assign]
    sql.SqlOutbox.delete = delete  # type: ignore[method-assign]


def delete_early() -> None:
    """What is read is gone, whether the broker takes it or not."""
    original = sql.SqlOutbox.pending

    async def read_and_delete(self: Any, limit: int, leave_out: Any = frozenset()) -> list[Any]:
        rows = await original(self, limit, leave_out)
        if rows:
            await self.delete([row for row, _ in rows])
        return rows

    sql.SqlOutbox.pending = read_and_delete  # type: ignore[method-assign]
