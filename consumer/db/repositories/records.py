"""The values that the repositories take and give beside the domain's; no ORM object leaves a repository."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from schemas.enums import StatusExecucao

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime

    from schemas.enums import GatilhoExecucao, ModeloForecast, TargetType, TipoExecucao

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class NewExecution:
    """A row of ``execucao_planejamento`` before it exists; ``id`` is UUID text, ``parametros`` is JSON."""

    id: str
    tipo: TipoExecucao
    gatilho: GatilhoExecucao
    status: StatusExecucao = StatusExecucao.PENDENTE
    parametros: Mapping[str, Any] | None = None
    created_by: str | None = None


@dataclass(frozen=True, slots=True)
class ExecutionChange:
    """What changes in a row of ``execucao_planejamento`` that has not ended; None leaves a column as it is."""

    id: str
    status: StatusExecucao | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    resultado_resumo: Mapping[str, Any] | None = None
    error_message: str | None = None


@dataclass(frozen=True, slots=True)
class ExecutionRecord:
    """A row of ``execucao_planejamento`` as it stands; times are UTC and aware."""

    id: str
    tipo: TipoExecucao
    status: StatusExecucao
    gatilho: GatilhoExecucao
    parametros: Json | None
    resultado_resumo: Json | None
    started_at: datetime | None
    completed_at: datetime | None
    error_message: str | None
    created_by: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class StepLogRow:
    """A row of ``execucao_step_log``; without ``id`` it is yet to be inserted.

    Attributes:
        step_name: At most 50 characters.
        step_order: 1..10; of one execution, at most one row is inserted per order and call.
        status: At most 20 characters; the service writes ``schemas.enums.StepStatus``.
    """

    execucao_id: str
    step_name: str
    step_order: int
    status: str
    id: int | None = None
    records_processed: int | None = None
    duration_ms: int | None = None
    details: Mapping[str, Any] | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ForecastRow:
    """A row of ``forecast_resultado``: one product, week (Monday) and target."""

    produto_id: str
    periodo: date
    target_type: TargetType
    modelo_usado: ModeloForecast
    horizonte_semanas: int
    p10: float | None
    p25: float | None
    p50: float | None
    p75: float | None
    p90: float | None


@dataclass(frozen=True, slots=True)
class MetricsWritten:
    """How many rows of ``forecast_metrica`` were written, and how many values in them had to become NULL.

    Attributes:
        rows: Rows written.
        nulled: Values that were not finite or did not fit their column; None as given is not counted.
    """

    rows: int
    nulled: int


@dataclass(frozen=True, slots=True)
class NewModel:
    """A trained model before it has a version; ``arquivo_path`` has at most 500 characters, the type 50."""

    execucao_id: str
    tipo_modelo: str
    parametros: Mapping[str, Any] | None = None
    metricas_treino: Mapping[str, Any] | None = None
    arquivo_path: str | None = None
    treinado_em: datetime | None = None


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A row of ``forecast_modelo`` as it stands."""

    id: str
    execucao_id: str
    tipo_modelo: str
    versao: int
    parametros: Json | None
    metricas_treino: Json | None
    arquivo_path: str | None
    is_champion: bool
    treinado_em: datetime | None
    created_at: datetime
