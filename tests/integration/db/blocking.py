"""Waiting until one transaction waits for another."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from consumer.db.database import Database

_BLOCKED = text("""
    SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()""")


async def until_blocked(database: Database, waiters: int = 1) -> None:
    """Return when so many connections to this database wait for a lock."""
    async with asyncio.timeout(20), database.session() as session:
        while int(await session.scalar(_BLOCKED) or 0) < waiters:
            await session.rollback()
