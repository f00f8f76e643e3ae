"""``run`` and ``demo``: from options to the composition root."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from consumer.cli.failure import CommandError
from consumer.cli.loading_code import kept_for_good
from consumer.cli.work.database_url import check_database_url
from consumer.cli.work.loading import load_settings, say_unknown_names, unknown_names
from consumer.exit_codes import ExitCode
from consumer.telemetry.logs import configure, get_logger

if TYPE_CHECKING:
    from pathlib import Path


def run_from_options(*, roles: str | None, admin_port: int | None, log_format: str | None) -> ExitCode:
    """Run the service with the settings, in which the options take precedence.

    Raises:
        CommandError: A setting is wrong.
        consumer.errors.StartupError: Something that the service needs is not there.
    """
    settings = load_settings(roles=roles, admin_port=admin_port, log_format=log_format)
    check_database_url(settings)
    if not settings.roles:
        name = "--roles" if roles is not None else "FORECAST_ROLES"
        message = f"{name} is empty; it must name at least one of intake,worker,relay"
        raise CommandError(message, exit_code=ExitCode.USAGE)
    configure(settings.log_format, settings.log_level)
    for name, closest in unknown_names().items():
        get_logger("settings").warning("unknown_setting", variable=name, closest=closest)
    with kept_for_good():
        from consumer.bootstrap import run_service  # noqa: PLC0415 - after the settings were found good

    return asyncio.run(run_service(settings))


def run_demo_from_options(
    *,
    products: int,
    keep: bool,
    directory: Path | None,
    bootstrap_servers: str | None,
    database_url: str | None,
    html: Path | None,
) -> ExitCode:
    """Run the demo.

    Raises:
        CommandError: The packages of the demo are not installed, or a setting is wrong.
    """
    load_settings(bootstrap_servers=bootstrap_servers)  # before a database is started for nothing
    say_unknown_names()
    from rich.console import Console  # noqa: PLC0415 - `run` needs none

    try:
        from consumer.demo.command import run_demo  # noqa: PLC0415 - its packages are an extra
    except ModuleNotFoundError as error:
        message = f"the demo needs the package {error.name}; run `pip install 'forecast-consumer[demo]'`"
        raise CommandError(message) from error
    return asyncio.run(
        run_demo(
            products=products,
            keep=keep,
            directory=directory,
            bootstrap_servers=bootstrap_servers,
            database_url=database_url,
            html=html,
            console=Console(),
        )
    )
