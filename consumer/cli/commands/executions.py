"""``executions list|show`` and ``models list``."""

from typing import Annotated

import typer

from consumer.cli.options import JsonOption, LimitOption
from schemas.enums import ModeloForecast, StatusExecucao, TipoExecucao

executions_app = typer.Typer(name="executions", help="Executions as the database has them.", no_args_is_help=True)
models_app = typer.Typer(name="models", help="Trained models.", no_args_is_help=True)


@executions_app.command("list")
def list_executions(
    *,
    status: Annotated[StatusExecucao | None, typer.Option(help="Only those in this state.")] = None,
    tipo: Annotated[TipoExecucao | None, typer.Option(help="Only those of this type.")] = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """Show executions, the newest first."""
    from consumer.cli.work.executions import print_executions  # noqa: PLC0415 - slow to import

    print_executions(status=status, tipo=tipo, limit=limit, as_json=as_json)


@executions_app.command()
def show(
    execucao_id: Annotated[str, typer.Argument(metavar="ID", help="The execution.")],
    *,
    as_json: JsonOption = False,
) -> None:
    """Show one execution: its command, steps, results and error."""
    from consumer.cli.work.executions import print_execution  # noqa: PLC0415 - slow to import

    print_execution(execucao_id, as_json=as_json)


@models_app.command("list")
def list_models(
    *,
    tipo_modelo: Annotated[ModeloForecast | None, typer.Option("--tipo", help="Only models of this type.")] = None,
    champions: Annotated[bool, typer.Option("--champions", help="Only the champion of each type.")] = False,
    limit: LimitOption = 100,
    as_json: JsonOption = False,
) -> None:
    """Show trained models by type, the newest version first."""
    from consumer.cli.work.executions import print_models  # noqa: PLC0415 - slow to import

    print_models(tipo_modelo=tipo_modelo, champions=champions, limit=limit, as_json=as_json)
