"""The root of the command line."""

from typing import Annotated

import typer

from consumer.cli.commands import (
    config,
    database,
    diff,
    dlq,
    executions,
    replay,
    schemas,
    send,
    service,
    topics,
    watch,
)
from consumer.cli.failure import PROGRAM, CommandGroup

app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    # Rich's help would cost every call a quarter of a second.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(service.run)
app.add_typer(send.app)
app.command("watch")(watch.watch)
app.command("demo")(service.demo)
app.add_typer(topics.app)
app.add_typer(database.app)
app.add_typer(executions.executions_app)
executions.executions_app.command("diff")(diff.diff)
app.add_typer(executions.models_app)
app.command("replay")(replay.replay)
app.add_typer(dlq.app)
app.add_typer(schemas.app)
app.command("config")(config.config)


def _version(*, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - only for this option

        typer.echo(f"{PROGRAM} {version(PROGRAM)}")
        raise typer.Exit


@app.callback()
def root(
    *,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="FORECAST_DEBUG", help="Show tracebacks and the libraries' log.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Demand forecasts over Kafka: commands in, executions in PostgreSQL, status events out.

    Settings are environment variables FORECAST_… or lines of .env; `config` shows them all.

    Exit codes: 0 done, 1 failed, 2 wrong usage or setting, 3 database unreachable, 4 database not as it must be,
    5 broker or topic, 6 admin port, 7 stuck at the end, 8 intake, 9 relay or 10 event loop stuck, 124 --timeout passed,
    130 interrupted.
    """
