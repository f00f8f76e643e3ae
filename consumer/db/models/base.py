"""What every mapped table shares: names as the backend's migrations give them, and recurring columns."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from sqlalchemy import DateTime, Enum, ForeignKey, MetaData, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, MappedColumn, mapped_column
from sqlalchemy.sql import func


class Base(DeclarativeBase):
    """Root of the mapping; its metadata holds the tables shared with the backend and no other."""

    metadata = MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        }
    )
    # Without it a plain ``Mapped[str]`` would become VARCHAR, which the backend never uses without a length.
    type_annotation_map = {str: Text, dict[str, Any]: JSONB, datetime: DateTime(timezone=True)}  # noqa: RUF012 - SQLAlchemy's own declaration


def enum_type(members: type[StrEnum]) -> Enum:
    """The PostgreSQL enum type of the same, mixed-case name, whose labels are the members' values."""
    return Enum(
        members,
        name=members.__name__,
        metadata=Base.metadata,
        values_callable=lambda enum: [member.value for member in enum],
    )


TextId = Annotated[str, mapped_column(Text, primary_key=True)]
CreatedAt = Annotated[datetime, mapped_column(DateTime(timezone=True), server_default=func.current_timestamp())]


def produto_key() -> MappedColumn[str]:
    """A reference to ``produto``: a product with rows cannot be deleted."""
    return mapped_column(ForeignKey("produto.id", onupdate="CASCADE", ondelete="RESTRICT"))


def execucao_key() -> MappedColumn[str]:
    """A reference to ``execucao_planejamento``: an execution with rows cannot be deleted."""
    return mapped_column(ForeignKey("execucao_planejamento.id", onupdate="CASCADE", ondelete="RESTRICT"))
