"""One clear line for each way in which a database cannot be reached."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Final

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from consumer.db.url import safe_url

if TYPE_CHECKING:
    from collections.abc import Iterator

# In order: the first class that matches tells what is wrong and what to do.
_HINTS: Final[tuple[tuple[tuple[type[BaseException], ...], str], ...]] = (
    (
        (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError),
        "user or password is wrong: check both in the URL and the server's pg_hba.conf",
    ),
    (
        (asyncpg.InvalidCatalogNameError,),
        "the database does not exist: create it or correct the last part of the URL",
    ),
    (
        (asyncpg.TooManyConnectionsError,),
        "the server has no connection left: run fewer processes or raise max_connections",
    ),
    ((asyncpg.CannotConnectNowError,), "the server is starting up or shutting down: try again in a moment"),
    ((asyncpg.InsufficientPrivilegeError,), "the user may not connect or read: grant it the rights"),
    ((PoolTimeoutError,), "no connection of the pool became free: look for transactions that never end"),
    ((ssl.SSLError,), "encryption failed: check sslmode and the certificates"),
    ((socket.gaierror,), "the host name is unknown: check it for a typo"),
    ((FileNotFoundError,), "no server listens on that socket: is it running, is the directory right?"),
    ((ConnectionRefusedError,), "nothing listens there: is the server running, are host and port right?"),
    ((TimeoutError,), "no answer in time: is the host reachable, does a firewall drop the packets?"),
    ((ConnectionError, asyncpg.PostgresConnectionError), "the connection broke: is the server up?"),
    ((asyncpg.InterfaceError, OSError), "the connection failed: is the server up and reachable?"),
)
# asyncpg says so by a ConnectionError like any other, and it is no broken connection.
_NO_TLS: Final = "rejected SSL upgrade"
_NO_TLS_HINT: Final = "the server offers no encryption: check sslmode, or switch TLS on in the server"


def describe_connection_error(error: BaseException, url: str) -> str:
    """Say in one line why a database cannot be reached or used, and what to try.

    Args:
        error: What SQLAlchemy, asyncpg or the operating system raised.
        url: The URL as it was given; its secrets are left out.
    """
    causes = list(_causes(error))
    where = f"cannot use the database {safe_url(url)} (FORECAST_DATABASE_URL)"
    for cause in causes:
        if no_encryption(cause):
            return f"{where}: {_NO_TLS_HINT} ({_first_line(cause)})"
    for kinds, hint in _HINTS:
        for cause in causes:
            if isinstance(cause, kinds):
                return f"{where}: {hint} ({_first_line(cause)})"
    return f"{where}: {_first_line(causes[-1])}"


def no_encryption(error: BaseException) -> bool:
    """Whether the URL demands encryption of a server that has none: no patience mends that."""
    return isinstance(error, ConnectionError) and _NO_TLS in str(error)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and everything behind it, outermost first; bounded, as chains can form a ring."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting and len(seen) < 20:  # noqa: PLR2004 - deeper than any real chain
        cause = waiting.pop(0)
        if cause in seen:
            continue
        seen.append(cause)
        yield cause
        inner = cause.driver_exception if isinstance(cause, DBAPIError) else None
        waiting.extend(following for following in (inner, cause.__cause__, cause.__context__) if following is not None)
        if isinstance(cause, BaseExceptionGroup):
            waiting.extend(cause.exceptions)


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
