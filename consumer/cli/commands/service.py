"""``run`` and ``demo``."""

from pathlib import Path
from typing import Annotated

import typer

from consumer.cli.loading_code import kept_for_good


def run(
    *,
    roles: Annotated[str | None, typer.Option(help="Some of intake,worker,relay.", show_default="all")] = None,
    admin_port: Annotated[
        int | None, typer.Option(help="Of /livez, /readyz, /metrics; 0: any.", show_default="8081")
    ] = None,
    log_format: Annotated[str | None, typer.Option(help="json or console.", show_default="json")] = None,
) -> None:
    """Run the service until SIGTERM or SIGINT."""
    with kept_for_good():
        from consumer.cli.work.service import run_from_options  # noqa: PLC0415 - slow to import

    raise typer.Exit(run_from_options(roles=roles, admin_port=admin_port, log_format=log_format))


def demo(
    *,
    products: Annotated[int, typer.Option(min=1, help="How many, the best-covered first.")] = 500,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running until Ctrl-C.")] = False,
    directory: Annotated[Path | None, typer.Option(help="Where the database lives.", show_default="temporary")] = None,
    bootstrap_servers: Annotated[str | None, typer.Option(help="A Kafka to use.", show_default="embedded")] = None,
    database_url: Annotated[str | None, typer.Option(help="A PostgreSQL to use.", show_default="embedded")] = None,
    html: Annotated[Path | None, typer.Option(help="Where to write the page with the forecasts.")] = None,
) -> None:
    """Show the whole service on a year of real sales; needs nothing but the Python packages."""
    from consumer.cli.work.service import run_demo_from_options  # noqa: PLC0415 - slow to import

    code = run_demo_from_options(
        products=products,
        keep=keep,
        directory=directory,
        bootstrap_servers=bootstrap_servers,
        database_url=database_url,
        html=html,
    )
    raise typer.Exit(code)
