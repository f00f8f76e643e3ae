"""What the backend knows of a product: classes, demand pattern, the model that planners want, price."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Double, Select, cast, select

from consumer.db.models import Produto, SkuClassification
from consumer.db.repositories.filters import any_of
from consumer.forecasting.types import ProductProfile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from schemas.enums import ClasseABC, PadraoDemanda


class ClassificationRepository:
    """Reads ``sku_classification`` and the products it belongs to."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def profiles(self, product_ids: Sequence[str]) -> dict[str, ProductProfile]:
        """The profile of each product that exists; an id that is missing from the result is unknown."""
        query = _profiles().where(Produto.id == any_of(product_ids)).order_by(Produto.id)
        return {profile.product_id: profile for profile in await self._read(query)}

    async def suggestion(self, product_id: str) -> str | None:
        """The model that a planner wants for a product (``modelo_forecast_sugerido``), None without one."""
        suggested: str | None = await self._session.scalar(
            select(SkuClassification.modelo_forecast_sugerido).where(SkuClassification.produto_id == product_id)
        )
        return suggested

    async def list_profiles(
        self,
        *,
        classe_abc: ClasseABC | None = None,
        padrao_demanda: PadraoDemanda | None = None,
        limit: int | None = None,
    ) -> list[ProductProfile]:
        """The classified products of a class, of a pattern, or of both, by id."""
        query = _profiles().where(SkuClassification.id.is_not(None)).order_by(Produto.id).limit(limit)
        if classe_abc is not None:
            query = query.where(SkuClassification.classe_abc == classe_abc)
        if padrao_demanda is not None:
            query = query.where(SkuClassification.padrao_demanda == padrao_demanda)
        return await self._read(query)

    async def _read(self, query: Select[*tuple[Any, ...]]) -> list[ProductProfile]:
        return [ProductProfile(*row) for row in await self._session.execute(query)]


def _profiles() -> Select[*tuple[Any, ...]]:
    """Products with their classification, if any, in the order of ``ProductProfile``'s fields."""
    return select(
        Produto.id,
        SkuClassification.classe_abc,
        SkuClassification.classe_xyz,
        SkuClassification.padrao_demanda,
        SkuClassification.modelo_forecast_sugerido,
        cast(Produto.preco_venda, Double),
    ).join_from(Produto, SkuClassification, SkuClassification.produto_id == Produto.id, isouter=True)
