"""The driver's own connection, for what SQLAlchemy has no word for: COPY."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import text

if TYPE_CHECKING:
    import asyncpg
    from sqlalchemy.ext.asyncio import AsyncSession


async def driver_connection(session: AsyncSession) -> asyncpg.Connection[Any]:
    """The asyncpg connection of a session, inside the session's transaction.

    What goes wrong on it is raised as asyncpg's own error, not as SQLAlchemy's ``DBAPIError``.

    Returns:
        A connection that belongs to the session: neither close it nor end its transaction.
    """
    pooled = await (await session.connection()).get_raw_connection()
    connection: asyncpg.Connection[Any] | None = pooled.driver_connection
    if connection is None:
        raise RuntimeError("the session's connection was closed under it; begin a new session")
    if not connection.is_in_transaction():
        # SQLAlchemy sends BEGIN with its first statement only: without one, COPY would commit itself.
        await session.execute(text("SELECT 1"))
    return connection
