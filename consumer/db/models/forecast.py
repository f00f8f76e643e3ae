"""What an execution leaves behind: forecasts, their errors, and trained models."""

from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import CHAR, Index, Numeric, String, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from consumer.db.models.base import Base, CreatedAt, TextId, enum_type, execucao_key, produto_key
from schemas.enums import ModeloForecast, TargetType

if TYPE_CHECKING:
    from consumer.db.models.catalogue import Produto
    from consumer.db.models.execution import ExecucaoPlanejamento


class ForecastResultado(Base):
    """Quantiles of one product, week and target; nothing but the writer keeps a second row of them away."""

    __tablename__ = "forecast_resultado"
    __table_args__ = (Index(None, "execucao_id", "produto_id"), Index(None, "periodo"))

    id: Mapped[TextId]
    execucao_id: Mapped[str] = execucao_key()
    produto_id: Mapped[str] = produto_key()
    periodo: Mapped[date]
    horizonte_semanas: Mapped[int]
    modelo_usado: Mapped[ModeloForecast] = mapped_column(enum_type(ModeloForecast))
    target_type: Mapped[TargetType] = mapped_column(enum_type(TargetType))
    p10: Mapped[Decimal | None] = mapped_column(Numeric(14, 4))
    p25: Mapped[Decimal | None] = mapped_column(Numeric(14, 4))
    p50: Mapped[Decimal | None] = mapped_column(Numeric(14, 4))
    p75: Mapped[Decimal | None] = mapped_column(Numeric(14, 4))
    p90: Mapped[Decimal | None] = mapped_column(Numeric(14, 4))
    faturamento_p50: Mapped[Decimal | None] = mapped_column(Numeric(14, 4))
    faturamento_p10: Mapped[Decimal | None] = mapped_column(Numeric(14, 4))
    faturamento_p90: Mapped[Decimal | None] = mapped_column(Numeric(14, 4))

    execucao: Mapped["ExecucaoPlanejamento"] = relationship(lazy="raise")
    produto: Mapped["Produto"] = relationship(lazy="raise")


class ForecastMetrica(Base):
    """Errors of one model on one product's holdout."""

    __tablename__ = "forecast_metrica"

    id: Mapped[TextId]
    execucao_id: Mapped[str] = execucao_key()
    produto_id: Mapped[str] = produto_key()
    modelo: Mapped[str] = mapped_column(String(50))
    mape: Mapped[Decimal | None] = mapped_column(Numeric(8, 4))
    mae: Mapped[Decimal | None] = mapped_column(Numeric(12, 4))
    rmse: Mapped[Decimal | None] = mapped_column(Numeric(12, 4))
    bias: Mapped[Decimal | None] = mapped_column(Numeric(8, 4))
    classe_abc: Mapped[str | None] = mapped_column(CHAR(1))
    created_at: Mapped[CreatedAt]

    execucao: Mapped["ExecucaoPlanejamento"] = relationship(lazy="raise")
    produto: Mapped["Produto"] = relationship(lazy="raise")


class ForecastModelo(Base):
    """A version of a trained model; of each type at most one is the champion."""

    __tablename__ = "forecast_modelo"

    id: Mapped[TextId]
    execucao_id: Mapped[str] = execucao_key()
    tipo_modelo: Mapped[str] = mapped_column(String(50))
    versao: Mapped[int]
    parametros: Mapped[dict[str, Any] | None]
    metricas_treino: Mapped[dict[str, Any] | None]
    arquivo_path: Mapped[str | None] = mapped_column(String(500))
    is_champion: Mapped[bool] = mapped_column(server_default=text("false"))
    treinado_em: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]

    execucao: Mapped["ExecucaoPlanejamento"] = relationship(lazy="raise")
