"""``db``: what is there, what should be, and bringing the one to the other."""

from __future__ import annotations

import asyncio

import typer

from consumer.cli.failure import CommandError, say
from consumer.cli.work.connecting import database_failures, open_database
from consumer.cli.work.database_url import check_database_url
from consumer.cli.work.loading import load_for_tool
from consumer.cli.work.printing import print_json
from consumer.db.check import Difference, differences, format_differences
from consumer.db.database import safe_url
from consumer.db.init import NotEmptyError
from consumer.db.own_check import OwnSchema, look_at_own_schema
from consumer.db.own_tables import SCHEMA
from consumer.db.setup import initialise, migrate
from consumer.errors import TransientError
from consumer.exit_codes import ExitCode


def check_tables(*, as_json: bool) -> ExitCode:
    """Print every difference of database and mapping; the exit code says whether there is any.

    Raises:
        CommandError: The database cannot be reached.
    """
    found, own = asyncio.run(_compare())
    good = not found and own.problem is None
    if as_json:
        told = {"ok": good, "differences": found, "revision": own.revision, "newest_revision": own.newest_known}
        print_json(told)
    elif good:
        newer = ", which a newer version made and this one can work with" if own.newer else ""
        typer.echo(f"the tables are as mapped; schema {SCHEMA} stands at revision {own.revision}{newer}")
    else:
        if found:
            say(format_differences(found))
        if own.problem is not None:
            say(own.problem)
    return ExitCode.OK if good else ExitCode.SCHEMA


def migrate_own_schema() -> None:
    """Migrate, and say from where to where.

    Raises:
        CommandError: The database cannot be reached or refuses.
    """
    url = check_database_url(load_for_tool())
    with database_failures(url):
        try:
            before, after = asyncio.run(migrate(url))
        except TransientError as error:
            raise CommandError(str(error), exit_code=ExitCode.DATABASE) from error
    if before == after:
        typer.echo(f"schema {SCHEMA} stands at revision {after} already")
    else:
        typer.echo(f"schema {SCHEMA} migrated from revision {before or 'none'} to {after}")


def initialise_database() -> None:
    """Create everything in an empty database.

    Raises:
        CommandError: It is not empty, or cannot be reached.
    """
    url = check_database_url(load_for_tool())
    try:
        with database_failures(url):
            asyncio.run(initialise(url))
    except NotEmptyError as error:
        raise CommandError(str(error), exit_code=ExitCode.SCHEMA) from error
    typer.echo(f"created the backend's tables and schema {SCHEMA} in {safe_url(url)}")


async def _compare() -> tuple[list[Difference], OwnSchema]:
    async with open_database() as database, database.engine.connect() as connection:
        return await differences(connection), await look_at_own_schema(connection)
