"""What the backend knows of a product's demand: its sales and its classification."""

from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from sqlalchemy import Index, Numeric, String, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from consumer.db.models.base import Base, CreatedAt, TextId, enum_type, produto_key
from schemas.enums import ClasseABC, ClasseXYZ, Granularidade, PadraoDemanda

if TYPE_CHECKING:
    from consumer.db.models.catalogue import Produto


class SerieTemporal(Base):
    """Units and revenue of one product in one day, week or month."""

    __tablename__ = "serie_temporal"
    __table_args__ = (
        Index(
            "serie_temporal_produto_id_data_referencia_granularidade_key",
            "produto_id",
            "data_referencia",
            "granularidade",
            unique=True,
        ),
    )

    id: Mapped[TextId]
    produto_id: Mapped[str] = produto_key()
    data_referencia: Mapped[date]
    granularidade: Mapped[Granularidade] = mapped_column(
        enum_type(Granularidade), server_default=Granularidade.SEMANAL.value
    )
    volume: Mapped[Decimal] = mapped_column(Numeric(14, 4), server_default=text("0"))
    receita: Mapped[Decimal] = mapped_column(Numeric(14, 4), server_default=text("0"))
    fonte: Mapped[str | None] = mapped_column(String(30))
    qualidade: Mapped[Decimal | None] = mapped_column(Numeric(4, 2))
    created_at: Mapped[CreatedAt]

    produto: Mapped["Produto"] = relationship(lazy="raise")


class SkuClassification(Base):
    """Class, regularity and demand pattern of one product, and the model that a planner wants for it."""

    __tablename__ = "sku_classification"
    __table_args__ = (Index("sku_classification_produto_id_key", "produto_id", unique=True),)

    id: Mapped[TextId]
    produto_id: Mapped[str] = produto_key()
    classe_abc: Mapped[ClasseABC] = mapped_column(enum_type(ClasseABC))
    classe_xyz: Mapped[ClasseXYZ] = mapped_column(enum_type(ClasseXYZ))
    padrao_demanda: Mapped[PadraoDemanda] = mapped_column(enum_type(PadraoDemanda))
    modelo_forecast_sugerido: Mapped[str | None] = mapped_column(String(50))
    percentual_receita: Mapped[Decimal | None] = mapped_column(Numeric(6, 4))
    cv_demanda: Mapped[Decimal | None] = mapped_column(Numeric(6, 4))
    calculado_em: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[datetime]

    produto: Mapped["Produto"] = relationship(lazy="raise")
