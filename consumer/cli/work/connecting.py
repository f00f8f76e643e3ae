"""A database for the time of one command, and a line for each way in which it fails."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Final

import asyncpg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from consumer.cli.failure import CommandError
from consumer.cli.work.database_url import check_database_url
from consumer.cli.work.loading import load_for_tool
from consumer.db.database import Database, describe_connection_error
from consumer.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_MISSING: Final = {
    asyncpg.UndefinedTableError.sqlstate,
    asyncpg.UndefinedColumnError.sqlstate,
    asyncpg.UndefinedObjectError.sqlstate,
    asyncpg.InvalidSchemaNameError.sqlstate,
}


@asynccontextmanager
async def open_database() -> AsyncIterator[Database]:
    """The database of the settings.

    Raises:
        CommandError: It cannot be reached or lacks what was asked for.
    """
    url = check_database_url(load_for_tool())
    with database_failures(url):
        async with Database.open(
            url, pool_size=1, max_overflow=0, application_name="forecast-consumer cli"
        ) as database:
            yield database


@contextmanager
def database_failures(url: str) -> Iterator[None]:
    """Turn what the driver raises into a CommandError; ``url`` is shown without its secrets."""
    try:
        yield
    except (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        line = describe_connection_error(error, url)
        if _sqlstate(error) in _MISSING:
            message = f"{line}; run `forecast-consumer db check`"
            raise CommandError(message, exit_code=ExitCode.SCHEMA) from error
        raise CommandError(line, exit_code=ExitCode.DATABASE) from error


def _sqlstate(error: BaseException) -> str | None:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return getattr(cause, "sqlstate", None)
