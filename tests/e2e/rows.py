"""Questions to a test's database, each on a connection of its own."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import asyncpg

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url, timeout=15)
    try:
        yield connection
    finally:
        await connection.close(timeout=5)


async def rows(url: str, sql: str, *arguments: object) -> list[tuple[Any, ...]]:
    async with connected(url) as connection:
        return [tuple(row) for row in await connection.fetch(sql, *arguments)]


async def scalar(url: str, sql: str, *arguments: object) -> Any:
    async with connected(url) as connection:
        return await connection.fetchval(sql, *arguments)
