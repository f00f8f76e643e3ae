"""Turning what the driver says into what follows from it."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import asyncpg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from consumer.errors import TransientError, UnusableDatabaseError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

# SQLSTATE classes after which the same work may succeed: connection, rollback, resources, operator, system; and a
# refused log-in, as while a password is changed: the service was let in before.
_LOG_IN = "28"
_TRANSIENT_CLASSES = frozenset({"08", "40", "53", "55", "57", "58", _LOG_IN})
# A demoted primary, and transactions that the server ended because they idled or lasted: the next one may succeed.
_TRANSIENT_STATES = frozenset({"25006", "25P03", "25P04"})
# What a record's values can bring about: cardinality, data, constraints, limits, views and triggers. Nothing else is
# its fault: a feature, schema, table, column or right is missing, or the server is in trouble.
_CLASSES_OF_VALUES = frozenset({"21", "22", "23", "44", "54", "P0"})
_PASSING = (asyncpg.InvalidCachedStatementError, asyncpg.InternalClientError)
_TRANSIENT = (OSError, asyncio.TimeoutError, PoolTimeoutError, PendingRollbackError, asyncpg.InterfaceError)


def is_transient(error: BaseException) -> bool:
    """Whether doing the same again later may succeed; a value that the driver cannot encode never will.

    A statement that was prepared before a table changed is prepared anew the next time. A connection on which asyncpg
    lost its way, because the server went in the middle of an answer, fails in whatever is asked of it next, and is
    replaced.
    """
    driver_error = _driver_error(error)
    causes = (driver_error, driver_error.__cause__)
    if any(isinstance(cause, asyncpg.DataError) for cause in causes):
        return False
    if any(isinstance(cause, _PASSING) for cause in causes):
        return True
    state = _state(error)
    if state is not None:
        return state[:2] in _TRANSIENT_CLASSES or state in _TRANSIENT_STATES
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or isinstance(error, (InterfaceError, OperationalError))
    return isinstance(error, _TRANSIENT)


@contextmanager
def as_transient() -> Iterator[None]:
    """Raise TransientError in place of what may pass; everything else as it is.

    Only the first line of the driver's message is kept: the rest may quote rows.
    """
    try:
        yield
    except Exception as error:
        if not is_transient(error):
            raise
        raise TransientError(_first_line(error)) from error


@contextmanager
def as_unusable() -> Iterator[None]:
    """Raise UnusableDatabaseError in place of what the server refuses and no value can be blamed for."""
    try:
        yield
    except DBAPIError as error:
        state = _state(error)
        if state is not None and state[:2] not in _CLASSES_OF_VALUES:
            raise UnusableDatabaseError(_first_line(error)) from error
        raise


def log_in_refused(error: BaseException) -> bool:
    """Whether the server does not let this user in: at the start a mistake, later a change that is under way."""
    return (_state(error) or "").startswith(_LOG_IN)


def _driver_error(error: BaseException) -> BaseException:
    return error.orig if isinstance(error, DBAPIError) and error.orig is not None else error


def _state(error: BaseException) -> str | None:
    state = getattr(_driver_error(error), "sqlstate", None)
    return None if state is None else str(state)


def _first_line(error: BaseException) -> str:
    cause = getattr(error, "orig", None) or error
    first_line = (str(cause).splitlines() or [""])[0]
    return f"{type(cause).__name__}: {first_line}"


def transient_errors(
    function: Callable[Parameters, Coroutine[Any, Any, Result]],
) -> Callable[Parameters, Coroutine[Any, Any, Result]]:
    """The same for a whole coroutine function."""

    @wraps(function)
    async def wrapper(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        with as_transient():
            return await function(*args, **kwargs)

    return wrapper
