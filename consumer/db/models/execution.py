"""A planning execution and its steps."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, ForeignKey, Index, SmallInteger, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from consumer.db.models.base import Base, CreatedAt, TextId, enum_type, execucao_key
from schemas.enums import GatilhoExecucao, StatusExecucao, TipoExecucao

if TYPE_CHECKING:
    from consumer.db.models.catalogue import Usuario


class ExecucaoPlanejamento(Base):
    """One execution: what was asked, how it stands, how it ended."""

    __tablename__ = "execucao_planejamento"
    __table_args__ = (
        Index(None, "tipo", "status"),
        Index(None, "parametros", postgresql_using="gin"),
        Index(None, "resultado_resumo", postgresql_using="gin"),
    )

    id: Mapped[TextId]
    tipo: Mapped[TipoExecucao] = mapped_column(enum_type(TipoExecucao))
    status: Mapped[StatusExecucao] = mapped_column(
        enum_type(StatusExecucao), server_default=StatusExecucao.PENDENTE.value
    )
    gatilho: Mapped[GatilhoExecucao] = mapped_column(enum_type(GatilhoExecucao))
    parametros: Mapped[dict[str, Any] | None]
    resultado_resumo: Mapped[dict[str, Any] | None]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    error_message: Mapped[str | None]
    created_by: Mapped[str | None] = mapped_column(ForeignKey("usuario.id", onupdate="CASCADE", ondelete="SET NULL"))
    created_at: Mapped[CreatedAt]

    usuario: Mapped["Usuario | None"] = relationship(lazy="raise")
    step_logs: Mapped[list["ExecucaoStepLog"]] = relationship(
        back_populates="execucao", lazy="raise", order_by="ExecucaoStepLog.step_order"
    )


class ExecucaoStepLog(Base):
    """One step of an execution; ``status`` is free text, of which the service writes ``StepStatus``."""

    __tablename__ = "execucao_step_log"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    execucao_id: Mapped[str] = execucao_key()
    step_name: Mapped[str] = mapped_column(String(50))
    step_order: Mapped[int] = mapped_column(SmallInteger)
    status: Mapped[str] = mapped_column(String(20))
    records_processed: Mapped[int | None] = mapped_column(BigInteger)
    duration_ms: Mapped[int | None]
    details: Mapped[dict[str, Any] | None]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]

    execucao: Mapped["ExecucaoPlanejamento"] = relationship(back_populates="step_logs", lazy="raise")
