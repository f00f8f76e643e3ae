"""The database URL, looked at before anything connects; apart from the other settings, as it costs SQLAlchemy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consumer.cli.failure import CommandError
from consumer.db.url import parse_database_url
from consumer.exit_codes import ExitCode
from consumer.setting_rules import variable

if TYPE_CHECKING:
    from consumer.settings import Settings


def check_database_url(settings: Settings) -> str:
    """The database URL as it was given.

    Raises:
        CommandError: It cannot be understood; the message repeats no part of it that could be secret.
    """
    url = settings.database_url.get_secret_value()
    try:
        parse_database_url(url)
    except ValueError as error:
        raise CommandError(f"{variable('database_url')}: {error}", exit_code=ExitCode.USAGE) from None
    return url
