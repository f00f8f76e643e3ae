from __future__ import annotations

import asyncpg
import pytest
from sqlalchemy import exc

from consumer.db.errors import as_transient, is_transient, transient_errors
from consumer.errors import TransientError


class DriverError(Exception):
    """As SQLAlchemy's asyncpg dialect raises them: the driver's own error is the cause."""

    def __init__(self, cause: BaseException | None = None, sqlstate: str | None = None) -> None:
        super().__init__(str(cause))
        self.sqlstate = sqlstate
        self.__cause__ = cause


def wrapped(
    cause: BaseException | None = None,
    *,
    sqlstate: str | None = None,
    kind: type[exc.DBAPIError] = exc.DBAPIError,
    invalidated: bool = False,
) -> exc.DBAPIError:
    state = sqlstate if sqlstate is not None else getattr(cause, "sqlstate", None)
    return kind("SELECT 1", None, DriverError(cause, state), connection_invalidated=invalidated)


PASSING: list[BaseException] = [
    ConnectionRefusedError(111, "Connect call failed"),
    ConnectionResetError("reset by peer"),
    TimeoutError(),
    exc.TimeoutError("QueuePool limit reached"),
    exc.PendingRollbackError("rolled back"),
    asyncpg.InterfaceError("connection is closed"),
    asyncpg.ConnectionDoesNotExistError("gone"),  # 08
    asyncpg.DeadlockDetectedError("deadlock"),  # 40
    asyncpg.TooManyConnectionsError("too many"),  # 53
    asyncpg.LockNotAvailableError("locked"),  # 55
    asyncpg.AdminShutdownError("shut down"),  # 57
    asyncpg.QueryCanceledError("statement timeout"),  # 57
    asyncpg.PostgresIOError("no disk"),  # 58
    asyncpg.ReadOnlySQLTransactionError("a demoted primary"),  # 25006
    wrapped(asyncpg.InvalidCachedStatementError("a column has another type"), kind=exc.NotSupportedError),
    wrapped(asyncpg.SerializationError("again")),
    asyncpg.InternalClientError("cannot switch to state 11; another operation (2) is in progress"),
    wrapped(asyncpg.InternalClientError("cannot switch to state 11"), kind=exc.InternalError),
    wrapped(asyncpg.ProtocolError("cannot switch to idle state"), kind=exc.InternalError),
    wrapped(asyncpg.DiskFullError("full"), kind=exc.OperationalError),
    wrapped(asyncpg.InterfaceError("connection is closed"), kind=exc.InterfaceError),
    wrapped(kind=exc.OperationalError),
    wrapped(invalidated=True),
    asyncpg.InvalidPasswordError("the password is being changed"),
    wrapped(sqlstate="08006", kind=exc.ProgrammingError),
]
LASTING: list[BaseException] = [
    asyncpg.DataError("invalid input for query argument $1"),
    wrapped(asyncpg.DataError("invalid input for query argument $1")),
    exc.InterfaceError("SELECT 1", None, DriverError(asyncpg.DataError("value out of int32 range"))),
    exc.OperationalError("SELECT 1", None, asyncpg.DataError("bad"), connection_invalidated=True),
    asyncpg.NumericValueOutOfRangeError("22003"),
    asyncpg.UniqueViolationError("duplicate key"),
    asyncpg.UndefinedTableError("no such table"),
    asyncpg.InsufficientPrivilegeError("permission denied"),
    wrapped(asyncpg.ForeignKeyViolationError("no parent"), kind=exc.IntegrityError),
    wrapped(asyncpg.UndefinedColumnError("no such column"), kind=exc.OperationalError),
    wrapped(kind=exc.ProgrammingError),
    exc.InvalidRequestError("misused"),
    ValueError("a bug"),
    KeyError("a bug"),
]


def name(error: BaseException) -> str:
    driver_error = getattr(error, "orig", None)
    return type(error).__name__ + ("" if driver_error is None else f"-{type(driver_error.__cause__).__name__}")


@pytest.mark.parametrize("error", PASSING, ids=name)
def test_what_may_pass_is_transient(error: BaseException) -> None:
    """An absent server, a broken connection, a rollback and a lack of resources may pass by themselves."""
    assert is_transient(error)


@pytest.mark.parametrize("error", LASTING, ids=name)
def test_what_stays_wrong_is_not_transient(error: BaseException) -> None:
    """A value that cannot be stored, a broken rule, a missing table and a bug stay what they are."""
    assert not is_transient(error)


@pytest.mark.parametrize(
    ("state", "transient"),
    [
        *((code, True) for code in ("08000", "25006", "25P03", "28P01", "40P01", "53300", "55P03", "57P03", "58030")),
        *((code, False) for code in ("22021", "23505", "25001", "42501", "XX000", "P0001")),
    ],
)
def test_class_of_the_sqlstate_decides(state: str, *, transient: bool) -> None:
    """With a SQLSTATE it alone decides, most often by its class, whatever SQLAlchemy calls the error."""
    for kind in (exc.DBAPIError, exc.OperationalError, exc.InterfaceError):
        assert is_transient(wrapped(sqlstate=state, kind=kind)) is transient


def test_rows_that_the_driver_quotes_are_not_passed_on() -> None:
    """TransientError has the driver's class and first line; the rows in the rest of the message stay out."""
    original = ConnectionResetError("connection lost\nDETAIL: row (secret)")
    with pytest.raises(TransientError) as caught, as_transient():
        raise original
    assert str(caught.value) == "ConnectionResetError: connection lost"
    assert caught.value.__cause__ is original


def test_statement_and_parameters_are_not_passed_on() -> None:
    """Of an error that SQLAlchemy wrapped only the driver's own message is kept."""
    wrapper = exc.OperationalError("SELECT secret", {"parameter": "secret"}, ConnectionResetError("reset by peer"))
    with pytest.raises(TransientError) as caught, as_transient():
        raise wrapper
    assert str(caught.value) == "ConnectionResetError: reset by peer"


async def test_decorated_function_returns_and_raises_the_same() -> None:
    """A decorated coroutine function returns what it returned and raises what will not pass unchanged."""

    @transient_errors
    async def divide(number: int, by: int) -> int:
        if by < 0:
            raise ConnectionRefusedError
        return number // by

    assert await divide(6, by=3) == 2
    with pytest.raises(ZeroDivisionError):
        await divide(6, by=0)
    with pytest.raises(TransientError, match="ConnectionRefusedError"):
        await divide(6, by=-1)
