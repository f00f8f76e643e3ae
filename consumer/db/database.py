"""The one owner of the connections to PostgreSQL: pool, sessions, transactions, and their bounded end."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self
from uuid import uuid4
from weakref import WeakSet

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from consumer.db.connection_errors import describe_connection_error
from consumer.db.liveness import check_connections
from consumer.db.url import DatabaseTarget, parse_database_url, safe_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import asyncpg
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["Database", "after_commit", "describe_connection_error", "safe_url"]

DISPOSE_SECONDS: Final = 0.5
_IDLE_IN_TRANSACTION: Final = "60s"
_AFTER_COMMIT: Final = "after_commit"


@dataclass(slots=True)
class Database:
    """An engine on asyncpg with its pool, and the way to sessions.

    Attributes:
        engine: For what needs a connection rather than a session (migrations, the schema check).
    """

    engine: AsyncEngine
    _sessions: async_sessionmaker[AsyncSession]
    _single: AsyncEngine
    _connections: WeakSet[asyncpg.Connection[Any]] = field(default_factory=WeakSet)

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        url: str,
        *,
        pool_size: int = 10,
        max_overflow: int = 20,
        pool_timeout: float = 10.0,
        connect_timeout: float = 5.0,
        command_timeout: float = 60.0,
        application_name: str = "forecast-consumer",
        pgbouncer: bool = False,
    ) -> AsyncIterator[Self]:
        """Own a pool for the time of the block; nothing connects before the first use.

        Args:
            url: As ``consumer.db.url`` describes.
            pool_size: Connections that are kept.
            max_overflow: Connections beyond them under load.
            pool_timeout: Seconds to wait for a free connection.
            connect_timeout: Seconds to establish one.
            command_timeout: Seconds that any statement may take.
            application_name: What ``pg_stat_activity`` shows.
            pgbouncer: A transaction pooler stands in between; ``?pgbouncer=true`` in the URL says the same.

        Raises:
            ValueError: The URL cannot be understood.
        """
        target = parse_database_url(url)
        engine = create_async_engine(
            target.url,
            pool_size=pool_size,
            max_overflow=max_overflow,
            pool_timeout=pool_timeout,
            hide_parameters=True,  # commands and events would stand in the text of an error
            connect_args={
                **target.connect_arguments,
                **_statement_caching(pgbouncer=pgbouncer or target.pgbouncer),
                "timeout": connect_timeout,
                "command_timeout": command_timeout,
                "server_settings": _server_settings(target, application_name, pgbouncer=pgbouncer),
            },
        )
        pooled = pgbouncer or target.pgbouncer
        single = engine if pooled else engine.execution_options(isolation_level="AUTOCOMMIT")
        database = cls(engine, async_sessionmaker(engine, expire_on_commit=False), single)
        event.listen(engine.sync_engine, "connect", database._remember)
        check_connections(engine.sync_engine)
        try:
            yield database
        finally:
            await database.dispose()

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """A session of one task; what it does not commit is rolled back at the end."""
        async with self._sessions() as session:
            yield session

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session whose work is committed at the end of the block, or rolled back if it raises."""
        async with self._sessions.begin() as session:
            yield session
        for call in session.info.pop(_AFTER_COMMIT, ()):
            call()

    def share(self, name: str, value: object) -> None:
        """Put something into ``info`` of every session that is opened from now on."""
        self._sessions.configure(info={name: value})

    @contextlib.asynccontextmanager
    async def single(self) -> AsyncIterator[AsyncConnection]:
        """A connection for one statement that is a transaction by itself: no BEGIN, no COMMIT, one round trip.

        Behind a transaction pooler it costs all three, because a prepared statement lasts no longer than those.
        """
        async with self._single.begin() as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A session whose statements read, each by itself: one round trip where ``session`` costs three."""
        async with AsyncSession(self._single, expire_on_commit=False) as session:
            yield session

    async def dispose(self, grace: float = DISPOSE_SECONDS) -> None:
        """Close every connection, also those that are still in use, within ``grace`` seconds.

        A server that is frozen answers no goodbye, and asyncpg would wait for it for ever: what has not
        closed by then is cut off.
        """
        try:
            async with asyncio.timeout(grace):
                await self.engine.dispose()
        except (TimeoutError, OSError):
            pass
        finally:
            self.terminate()

    def terminate(self) -> None:
        """Cut off every connection at once, without a word to the server; it rolls back what was open."""
        for connection in list(self._connections):
            if not connection.is_closed():
                connection.terminate()

    def _remember(self, connection: DBAPIConnection, _record: object) -> None:
        self._connections.add(connection.driver_connection)


def after_commit(session: AsyncSession, call: Callable[[], None]) -> None:
    """Call when the session's ``Database.transaction`` was committed, and only if the server has said so."""
    session.info.setdefault(_AFTER_COMMIT, []).append(call)


def _statement_caching(*, pgbouncer: bool) -> dict[str, Any]:
    """Behind a transaction pooler the next statement may meet another server, where cached names clash."""
    if not pgbouncer:
        return {}
    return {
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": lambda: f"__forecast_{uuid4()}__",
    }


def _server_settings(target: DatabaseTarget, application_name: str, *, pgbouncer: bool) -> dict[str, str]:
    settings = {"application_name": application_name, "timezone": "UTC", **target.server_settings}
    if pgbouncer or target.pgbouncer:
        return settings
    # A process that froze inside a transaction must not keep its row locks: the server ends it. The compiler
    # (JIT) costs more than our short statements take, and asyncpg's look-up of enum types most of all.
    return {**settings, "idle_in_transaction_session_timeout": _IDLE_IN_TRANSACTION, "jit": "off"}
