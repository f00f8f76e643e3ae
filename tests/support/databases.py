"""Databases of one test on the shared PostgreSQL server."""

from __future__ import annotations

import contextlib
import os
import uuid
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from consumer.demo.embedded_postgres import EmbeddedPostgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@contextlib.contextmanager
def database_server() -> Iterator[str]:
    """URL of a server where databases may be created: ``FORECAST_TEST_DATABASE_URL``, else an embedded one."""
    given = os.environ.get("FORECAST_TEST_DATABASE_URL")
    if given:
        yield given.replace("postgresql+asyncpg://", "postgresql://")
        return
    # No test survives a crash of the machine, so nothing needs to wait for its disk.
    with EmbeddedPostgres(durable=False) as server:
        yield server.url()


def with_database(url: str, database: str) -> str:
    """The URL with another database in it."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


@contextlib.asynccontextmanager
async def temporary_database(server: str, template: str = "template0") -> AsyncIterator[str]:
    """URL of a new database, a copy of ``template``; dropped at the end whoever is still connected."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    await _execute(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    try:
        yield with_database(server, name)
    finally:
        await _execute(server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


async def _execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url, timeout=15)
    try:
        await connection.execute(sql, timeout=60)
    finally:
        await connection.close(timeout=5)
