"""What execution reads of products and their sales."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from consumer.forecasting.types import ProductOverview, ProductProfile, WeeklySales


class SalesReader(Protocol):
    """The product's history and classification, read without any open transaction. May raise TransientError."""

    async def newest_week(self) -> date | None:
        """The newest Monday that any product has a row for."""
        ...

    async def overview(self, product_ids: Sequence[str] | None, until: date) -> list[ProductOverview]:
        """The products that have data up to the week of ``until``, sorted by id; None asks for all."""
        ...

    async def profiles(self, product_ids: Sequence[str]) -> dict[str, ProductProfile]:
        """Classification and price of the products that exist."""
        ...

    async def weekly_sales(self, product_ids: Sequence[str], end: date) -> WeeklySales:
        """Weekly history up to and including the week of ``end``."""
        ...
