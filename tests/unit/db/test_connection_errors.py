from __future__ import annotations

import socket
import ssl

import asyncpg
import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from consumer.db.database import Database, describe_connection_error

URL = "postgresql://planner:secret@db.example:5432/plan"
REASONS: list[tuple[BaseException, str]] = [
    (ConnectionRefusedError(111, "Connect call failed"), "nothing listens there"),
    (socket.gaierror(-2, "Name or service not known"), "host name is unknown"),
    (asyncpg.InvalidPasswordError("password authentication failed"), "user or password is wrong"),
    (asyncpg.InvalidAuthorizationSpecificationError("role does not exist"), "user or password is wrong"),
    (asyncpg.InvalidCatalogNameError("database does not exist"), "database does not exist: create it"),
    (TimeoutError(), "no answer in time"),
    (FileNotFoundError(2, "No such file"), "no server listens on that socket"),
    (
        asyncpg.TooManyConnectionsError("sorry, too many clients already"),
        "run fewer processes or raise max_connections",
    ),
    (asyncpg.CannotConnectNowError("the database system is starting up"), "starting up"),
    (asyncpg.InsufficientPrivilegeError("permission denied"), "may not connect or read"),
    (PoolTimeoutError("QueuePool limit reached"), "became free: look for transactions"),
    (ssl.SSLError("handshake failed"), "encryption failed"),
    (ConnectionError('PostgreSQL server at "db:5432" rejected SSL upgrade'), "offers no encryption: check sslmode"),
    (ConnectionResetError("reset by peer"), "the connection broke"),
    (asyncpg.InterfaceError("connection is closed"), "the connection failed"),
]


@pytest.mark.parametrize(("error", "hint"), REASONS)
def test_each_reason_has_its_hint(error: BaseException, hint: str) -> None:
    """A reason is one line with a hint, the address and no password."""
    line = describe_connection_error(error, URL)
    assert hint in line
    assert "db.example:5432/plan (FORECAST_DATABASE_URL)" in line
    assert "secret" not in line
    assert "\n" not in line


@pytest.mark.parametrize(("error", "hint"), REASONS)
def test_reason_is_found_behind_other_errors(error: BaseException, hint: str) -> None:
    """Wrapped by SQLAlchemy, by another error or in a group, the reason is the same."""
    wrapper = RuntimeError("could not start")
    wrapper.__cause__ = OperationalError("SELECT 1", {}, error) if isinstance(error, Exception) else error
    wrapper.__cause__.__cause__ = error
    group = BaseExceptionGroup("several", [ValueError("first"), error])
    assert hint in describe_connection_error(wrapper, URL)
    assert hint in describe_connection_error(group, URL)


def test_unknown_reason_is_told_as_it_is() -> None:
    """Without a hint there is still the first line of the error, even when errors form a ring."""
    error = ValueError("odd\nsecond line")
    error.__cause__ = RuntimeError("inner")
    error.__cause__.__cause__ = error
    assert describe_connection_error(error, URL).endswith("RuntimeError: inner")


async def test_refused_connection_is_described() -> None:
    """A port where nothing listens is told as such, through all layers of the real driver."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"postgresql://u:secret@127.0.0.1:{reserved.getsockname()[1]}/plan"
        async with Database.open(url) as database:
            with pytest.raises(OSError, match="Connect call failed") as failure:
                await database.engine.connect()
    assert "nothing listens there" in describe_connection_error(failure.value, url)
