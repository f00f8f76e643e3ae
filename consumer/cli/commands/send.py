"""``send train|predict|backtest|cancel``: an option for every field of the contract."""

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(name="send", help="Send a command, and with --wait follow it to its end.", no_args_is_help=True)

ExecucaoId = Annotated[str | None, typer.Option(help="UUID of the execution.", show_default="the service makes one")]
ProdutoId = Annotated[
    list[str] | None, typer.Option(help="A product to work on; repeat it.", show_default="all with data")
]
ProdutosFile = Annotated[
    Path | None,
    typer.Option(help="A file with one product id a line; - is stdin.", allow_dash=True, dir_okay=False),
]
Modelo = Annotated[
    str | None,
    typer.Option(help="TFT, ETS, CROSTON, LGBM or ENSEMBLE.", show_default="chosen per product"),
]
Gatilho = Annotated[str | None, typer.Option(help="MANUAL, AGENDADO or AUTO_INGESTAO.", show_default="MANUAL")]
CreatedBy = Annotated[str | None, typer.Option(help="Id of the usuario behind the command.")]
Priority = Annotated[int | None, typer.Option(help="0..9, lower runs first.", show_default="5")]
Id = Annotated[str | None, typer.Option("--id", help="The command's ce_id; again with it is again the same command.")]
Source = Annotated[str | None, typer.Option(help="ce_source.", show_default="/forecast-consumer/client")]
CorrelationId = Annotated[str | None, typer.Option(help="Echoed in every reply.")]
ExpiresIn = Annotated[str | None, typer.Option(help="Deadline from now: 90, 90s, 15m, 2h or 1d.")]
ExpiresAt = Annotated[str | None, typer.Option(help="Deadline such as 2026-11-23T12:00:00Z.")]
Validate = Annotated[
    bool, typer.Option("--validate/--no-validate", help="Check the record as the service will, before sending.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the record, send nothing.")]
Wait = Annotated[bool, typer.Option("--wait", help="Follow it; exit code 1 on ERRO or rejection.")]
Timeout = Annotated[
    float | None,
    typer.Option(min=0, help="Seconds to wait at most (exit code 124).", show_default="as long as it takes"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, with --wait a line an event.")]


# Each command hands on its options by name, all of them: what they mean is said once, in work/sending.py.


@app.command()
def train(
    *,
    execucao_id: ExecucaoId = None,
    produto_id: ProdutoId = None,
    produtos_file: ProdutosFile = None,
    modelo: Modelo = None,
    force_retrain: Annotated[
        bool | None, typer.Option("--force-retrain/--no-force-retrain", help="Even where a fresh model exists.")
    ] = None,
    gatilho: Gatilho = None,
    created_by: CreatedBy = None,
    priority: Priority = None,
    command_id: Id = None,
    source: Source = None,
    correlation_id: CorrelationId = None,
    expires_in: ExpiresIn = None,
    expires_at: ExpiresAt = None,
    validate: Validate = True,
    dry_run: DryRun = False,
    wait: Wait = False,
    timeout: Timeout = None,
    as_json: AsJson = False,
) -> None:
    """Fit and select a model per product; store new model versions."""
    _send("train", locals())


@app.command()
def predict(
    *,
    execucao_id: ExecucaoId = None,
    produto_id: ProdutoId = None,
    produtos_file: ProdutosFile = None,
    modelo: Modelo = None,
    horizonte_semanas: Annotated[int | None, typer.Option(help="Weeks to forecast, 1..52.", show_default="13")] = None,
    gatilho: Gatilho = None,
    created_by: CreatedBy = None,
    priority: Priority = None,
    command_id: Id = None,
    source: Source = None,
    correlation_id: CorrelationId = None,
    expires_in: ExpiresIn = None,
    expires_at: ExpiresAt = None,
    validate: Validate = True,
    dry_run: DryRun = False,
    wait: Wait = False,
    timeout: Timeout = None,
    as_json: AsJson = False,
) -> None:
    """Forecast the coming weeks of each product with the champion models."""
    _send("predict", locals())


@app.command()
def backtest(
    *,
    execucao_id: ExecucaoId = None,
    produto_id: ProdutoId = None,
    produtos_file: ProdutosFile = None,
    modelo: Modelo = None,
    holdout_weeks: Annotated[int | None, typer.Option(help="Weeks to hold out, 1..52.", show_default="13")] = None,
    gatilho: Gatilho = None,
    created_by: CreatedBy = None,
    priority: Priority = None,
    command_id: Id = None,
    source: Source = None,
    correlation_id: CorrelationId = None,
    expires_in: ExpiresIn = None,
    expires_at: ExpiresAt = None,
    validate: Validate = True,
    dry_run: DryRun = False,
    wait: Wait = False,
    timeout: Timeout = None,
    as_json: AsJson = False,
) -> None:
    """Hold out the last weeks, forecast them and measure the error."""
    _send("backtest", locals())


@app.command()
def cancel(
    *,
    execucao_id: Annotated[str, typer.Option(help="UUID of the execution to end.")],
    motivo: Annotated[str | None, typer.Option(help="Why, for people.")] = None,
    command_id: Id = None,
    source: Source = None,
    correlation_id: CorrelationId = None,
    expires_in: ExpiresIn = None,
    expires_at: ExpiresAt = None,
    validate: Validate = True,
    dry_run: DryRun = False,
    wait: Wait = False,
    timeout: Timeout = None,
    as_json: AsJson = False,
) -> None:
    """End a queued or running execution."""
    _send("cancel", locals())


def _send(kind: str, options: dict[str, Any]) -> None:
    from consumer.cli.work.sending import send_from_options  # noqa: PLC0415 - slow to import

    raise typer.Exit(send_from_options(kind, options))
