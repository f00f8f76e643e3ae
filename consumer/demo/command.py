"""``forecast-consumer demo``: the whole service on real sales, over the wire, from an empty directory to a picture."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from consumer.client.client import ForecastClient
from consumer.client.errors import ClientError
from consumer.db.database import Database
from consumer.db.driver import driver_connection
from consumer.demo.pictures import write_page
from consumer.demo.processes import ServerError
from consumer.demo.progress import follow_with_progress
from consumer.demo.sample_data import SampleSummary, load_sample
from consumer.demo.stage import Stage, open_stage
from consumer.demo.tables import accuracy_table, choose_products, forecast_table, read_forecasts
from consumer.exit_codes import ExitCode
from schemas.commands import RunBacktest, RunForecast, TrainForecast
from schemas.enums import StatusExecucao

if TYPE_CHECKING:
    from rich.console import Console

    from schemas.commands import Command
    from schemas.events import ExecutionStatusChanged

COMMAND_SECONDS: Final = 900.0
PAGE: Final = "forecast-demo.html"
PICTURED: Final = 6


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the command line says."""

    products: int
    keep: bool
    directory: Path | None
    bootstrap_servers: str | None
    database_url: str | None
    html: Path | None


async def run_demo(
    *,
    products: int,
    keep: bool,
    directory: Path | None,
    bootstrap_servers: str | None,
    database_url: str | None,
    html: Path | None,
    console: Console,
) -> ExitCode:
    """Start what is not given, load the sales, run the three commands, show what came out, end everything.

    Returns:
        OK if every command ended in CONCLUIDO.
    """
    options = DemoOptions(products, keep, directory, bootstrap_servers, database_url, html)
    home = await asyncio.to_thread(_home, directory)
    try:
        async with AsyncExitStack() as stack:
            stage = await open_stage(home, bootstrap_servers, database_url, stack, console)
            return await _perform(stage, options, console)
    except (ServerError, ClientError) as error:
        console.print(f"[red]demo:[/] {error}", highlight=False)
        return ExitCode.FAILED
    finally:
        if directory is None:
            shutil.rmtree(home, ignore_errors=True)


def _home(directory: Path | None) -> Path:
    if directory is None:
        home = Path(tempfile.mkdtemp(prefix="forecast-demo-"))
        home.chmod(0o711)  # for root, PostgreSQL runs as another user, who must be able to walk through
        return home
    directory.mkdir(parents=True, exist_ok=True)
    return directory


async def _perform(stage: Stage, options: DemoOptions, console: Console) -> ExitCode:
    sample = await _load(stage, options.products, console)
    await stage.start_service(console)
    outcomes = await _run_commands(stage, sample, console)
    if outcomes["backtest"].resultado_resumo:
        console.print(accuracy_table(outcomes["backtest"].resultado_resumo))
    await _show_forecasts(stage, outcomes["predict"], options, console)
    statuses = {name: outcome.status for name, outcome in outcomes.items()}
    if options.keep:
        await _wait(stage, console)
    await stage.stop_service(console)
    console.print("demo: " + ", ".join(f"{name} {status}" for name, status in statuses.items()), highlight=False)
    done = all(status is StatusExecucao.CONCLUIDO for status in statuses.values())
    return ExitCode.OK if done else ExitCode.FAILED


async def _load(stage: Stage, products: int, console: Console) -> SampleSummary:
    with console.status(f"loading a year of supermarket sales of {products} products"):
        async with Database.open(stage.database_url) as database, database.transaction() as session:
            sample = await load_sample(await driver_connection(session), products)
    classes = ", ".join(f"{count} {name}" for name, count in sample.by_class.items())
    console.print(
        f"[green]✓[/] {len(sample.product_ids)} products, {sample.first_week} to {sample.last_week}: "
        f"{classes}, {sample.unclassified_products} without a class; {sample.daily_products} with daily rows only",
        highlight=False,
    )
    return sample


async def _run_commands(stage: Stage, sample: SampleSummary, console: Console) -> dict[str, ExecutionStatusChanged]:
    """One after the other, each followed to its end on the reply topics."""
    commands: dict[str, Command] = {
        "train": TrainForecast(produto_ids=sample.product_ids, created_by=sample.user_id),
        "backtest": RunBacktest(produto_ids=sample.product_ids, created_by=sample.user_id, holdout_weeks=13),
        "predict": RunForecast(produto_ids=sample.product_ids, created_by=sample.user_id, horizonte_semanas=13),
    }
    async with ForecastClient(stage.settings) as client:
        return {
            name: await follow_with_progress(client, await client.send(command), name, COMMAND_SECONDS, console)
            for name, command in commands.items()
        }


async def _show_forecasts(
    stage: Stage, predict: ExecutionStatusChanged, options: DemoOptions, console: Console
) -> None:
    async with Database.open(stage.database_url) as database, database.session() as session:
        chosen = await choose_products(session, predict.execucao_id, PICTURED)
        forecasts = await read_forecasts(session, predict.execucao_id, chosen)
    if not forecasts:
        return
    console.print(forecast_table(forecasts))
    page = options.html or Path(PAGE)
    await asyncio.to_thread(write_page, page, forecasts)
    console.print(f"[green]✓[/] pictures of these forecasts: {page}", highlight=False)


async def _wait(stage: Stage, console: Console) -> None:
    console.print("\n".join(stage.how_to_connect()), highlight=False)
    console.print("everything keeps running; Ctrl-C ends it")
    await stage.interrupted()
