"""The backend's master data that the shared tables refer to."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import Enum, Index, Numeric, String, text
from sqlalchemy.orm import Mapped, mapped_column

from consumer.db.models.base import Base, CreatedAt, TextId

TIPO_PRODUTO = Enum(
    "ACABADO",
    "SEMI_ACABADO",
    "INSUMO",
    "EMBALAGEM",
    "MATERIA_PRIMA",
    "REVENDA",
    name="TipoProduto",
    metadata=Base.metadata,
)
POLITICA_RESSUPRIMENTO = Enum(
    "PONTO_PEDIDO",
    "MIN_MAX",
    "REVISAO_PERIODICA",
    "KANBAN",
    name="PoliticaRessuprimento",
    metadata=Base.metadata,
)
USER_ROLE = Enum("admin", "manager", "operator", "viewer", name="UserRole", metadata=Base.metadata)


class Produto(Base):
    """A product; the service reads its id and list price.

    ``categoria_id`` and ``unidade_medida_id`` refer to tables of the backend that are not shared, so the
    mapping leaves those two foreign keys out.
    """

    __tablename__ = "produto"
    __table_args__ = (
        Index("produto_codigo_key", "codigo", unique=True),
        Index(None, "tipo_produto", "ativo"),
        Index(None, "categoria_id"),
    )

    id: Mapped[TextId]
    codigo: Mapped[str] = mapped_column(String(50))
    descricao: Mapped[str] = mapped_column(String(255))
    tipo_produto: Mapped[str] = mapped_column(TIPO_PRODUTO)
    categoria_id: Mapped[str | None]
    unidade_medida_id: Mapped[str | None]
    peso_liquido_kg: Mapped[Decimal | None] = mapped_column(Numeric(10, 4))
    volume_m3: Mapped[Decimal | None] = mapped_column(Numeric(10, 6))
    ativo: Mapped[bool] = mapped_column(server_default=text("true"))
    custo_unitario: Mapped[Decimal | None] = mapped_column(Numeric(12, 4))
    custo_pedido: Mapped[Decimal | None] = mapped_column(Numeric(12, 4))
    custo_manutencao_pct_ano: Mapped[Decimal | None] = mapped_column(Numeric(5, 2), server_default=text("25.00"))
    preco_venda: Mapped[Decimal | None] = mapped_column(Numeric(12, 4))
    politica_ressuprimento: Mapped[str] = mapped_column(POLITICA_RESSUPRIMENTO, server_default="PONTO_PEDIDO")
    intervalo_revisao_dias: Mapped[int | None]
    lote_minimo: Mapped[Decimal | None] = mapped_column(Numeric(12, 4), server_default=text("1"))
    multiplo_compra: Mapped[Decimal | None] = mapped_column(Numeric(12, 4), server_default=text("1"))
    estoque_seguranca_manual: Mapped[Decimal | None] = mapped_column(Numeric(12, 4))
    lead_time_producao_dias: Mapped[int | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[datetime]


class Usuario(Base):
    """A user of the backend; the service only asks whether an id exists."""

    __tablename__ = "usuario"
    __table_args__ = (Index("usuario_email_key", "email", unique=True),)

    id: Mapped[TextId]
    email: Mapped[str] = mapped_column(String(255))
    nome: Mapped[str] = mapped_column(String(150))
    senha_hash: Mapped[str] = mapped_column(String(255))
    role: Mapped[str] = mapped_column(USER_ROLE, server_default="viewer")
    ativo: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[datetime]
    refresh_token_hash: Mapped[str | None] = mapped_column(String(255))
