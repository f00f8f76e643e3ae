"""``db check|migrate|init``."""

import typer

from consumer.cli.options import JsonOption

app = typer.Typer(name="db", help="The database: compare, migrate, or set up an empty one.", no_args_is_help=True)


@app.command()
def check(*, as_json: JsonOption = False) -> None:
    """Compare tables and mapping; exit code 3 if it cannot be reached, 4 if they differ."""
    from consumer.cli.work.database import check_tables  # noqa: PLC0415 - slow to import

    raise typer.Exit(check_tables(as_json=as_json))


@app.command()
def migrate() -> None:
    """Bring the service's own schema, forecast_consumer, to the newest revision."""
    from consumer.cli.work.database import migrate_own_schema  # noqa: PLC0415 - slow to import

    migrate_own_schema()


@app.command()
def init() -> None:
    """Create all tables in an empty database, the backend's too; refuses any other."""
    from consumer.cli.work.database import initialise_database  # noqa: PLC0415 - slow to import

    initialise_database()
