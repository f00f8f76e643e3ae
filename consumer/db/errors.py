"""Turning what the driver says into what follows from it."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import asyncpg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from consumer.errors import TransientError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

# SQLSTATE classes after which the same work may succeed: connection, rollback, resources, operator, system.
_TRANSIENT_CLASSES = frozenset({"08", "40", "53", "55", "57", "58"})
_TRANSIENT = (OSError, asyncio.TimeoutError, PoolTimeoutError, PendingRollbackError, asyncpg.InterfaceError)


def is_transient(error: BaseException) -> bool:
    """Whether doing the same again later may succeed; a value that the driver cannot encode never will."""
    driver_error = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    if any(isinstance(cause, asyncpg.DataError) for cause in (driver_error, driver_error.__cause__)):
        return False
    state = getattr(driver_error, "sqlstate", None)
    if state is not None:
        return str(state)[:2] in _TRANSIENT_CLASSES
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
        cause = getattr(error, "orig", None) or error
        first_line = (str(cause).splitlines() or [""])[0]
        raise TransientError(f"{type(cause).__name__}: {first_line}") from error


def transient_errors(
    function: Callable[Parameters, Coroutine[Any, Any, Result]],
) -> Callable[Parameters, Coroutine[Any, Any, Result]]:
    """The same for a whole coroutine function."""

    @wraps(function)
    async def wrapper(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        with as_transient():
            return await function(*args, **kwargs)

    return wrapper
