"""``executions`` and ``models``: reading the database and showing it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from consumer.cli.failure import CommandError
from consumer.cli.work.connecting import open_database
from consumer.cli.work.execution_report import read_report
from consumer.cli.work.printing import moment, print_json, print_pairs, print_table
from consumer.db.repositories.execution_repo import ExecutionRepository
from consumer.db.repositories.forecast_repo import ForecastRepository

if TYPE_CHECKING:
    from consumer.cli.work.execution_report import ExecutionReport
    from consumer.db.repositories.records import ExecutionRecord, ModelRecord
    from schemas.enums import ModeloForecast, StatusExecucao, TipoExecucao


def print_executions(*, status: StatusExecucao | None, tipo: TipoExecucao | None, limit: int, as_json: bool) -> None:
    """Print the newest executions.

    Raises:
        CommandError: The database cannot be reached or read.
    """

    async def read() -> list[ExecutionRecord]:
        async with open_database() as database, database.session() as session:
            repository = ExecutionRepository(session)
            return await repository.list_executions(status=status, tipo=tipo, limit=limit)

    records = asyncio.run(read())
    if as_json:
        print_json(records)
        return
    print_table(
        ("id", "tipo", "comando", "status", "gatilho", "created", "completed", "error"),
        [
            (
                *(record.id, record.tipo, (record.parametros or {}).get("comando"), record.status),
                *(record.gatilho, record.created_at, record.completed_at, record.error_message),
            )
            for record in records
        ],
    )


def print_execution(execucao_id: str, *, as_json: bool) -> None:
    """Print one execution from all sides.

    Raises:
        CommandError: There is none of this id, or the database cannot be reached or read.
    """

    async def read() -> ExecutionReport | None:
        async with open_database() as database, database.session() as session:
            return await read_report(session, execucao_id)

    report = asyncio.run(read())
    if report is None:
        raise CommandError(f"there is no execution {execucao_id!r}; `executions list` shows the newest")
    if as_json:
        print_json(report.as_json())
    else:
        _show(report)


def print_models(*, tipo_modelo: ModeloForecast | None, champions: bool, limit: int, as_json: bool) -> None:
    """Print trained models.

    Raises:
        CommandError: The database cannot be reached or read.
    """

    async def read() -> list[ModelRecord]:
        async with open_database() as database, database.session() as session:
            repository = ForecastRepository(session)
            return await repository.list_models(tipo_modelo=tipo_modelo, champions_only=champions, limit=limit)

    models = asyncio.run(read())
    if as_json:
        print_json(models)
        return
    columns = ("type", "version", "champion", "trained", "execution", "id", "metrics")
    print_table(
        columns,
        [
            (
                *(model.tipo_modelo, model.versao, "champion" if model.is_champion else "", model.treinado_em),
                *(model.execucao_id, model.id, model.metricas_treino),
            )
            for model in models
        ],
    )


def _show(report: ExecutionReport) -> None:
    execution = report.execution
    names = ("tipo", "status", "gatilho", "created_by", "created_at", "started_at", "completed_at")
    pairs: dict[str, object] = {name: getattr(execution, name) for name in names}
    pairs |= {"error": execution.error_message, "parametros": execution.parametros}
    pairs |= {"resultado_resumo": execution.resultado_resumo}
    pairs["written"] = f"{report.results} forecasts, {report.metrics} metrics, {len(report.models)} models"
    print_pairs(f"execution {execution.id}", pairs)
    if report.command is None:
        print_pairs("command", {"state": "none: the service has taken no command for it"})
    else:
        shown = {name: value for name, value in report.command.items() if value is not None}
        print_pairs("command", shown)
    if report.steps:
        rows = (
            (
                *(step.step_order, step.step_name, step.status, step.records_processed, step.duration_ms),
                *(moment(step.started_at), step.details or ""),
            )
            for step in report.steps
        )
        print_table(("step", "name", "status", "records", "ms", "started", "details"), rows, title="steps")
