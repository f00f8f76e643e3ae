"""``consumer.ports.sales.SalesReader``: each question is a short transaction, none stays open while models run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consumer.db.errors import transient_errors
from consumer.db.repositories.classification_repo import ClassificationRepository
from consumer.db.repositories.time_series_repo import TimeSeriesRepository

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from consumer.db.database import Database
    from consumer.forecasting.types import ProductOverview, ProductProfile, WeeklySales


class SqlSalesReader:
    """The repositories that read, behind one port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @transient_errors
    async def newest_week(self) -> date | None:
        """Monday of the newest row of any product."""
        async with self._database.session() as session:
            return await TimeSeriesRepository(session).newest_week()

    @transient_errors
    async def overview(self, product_ids: Sequence[str] | None, until: date) -> list[ProductOverview]:
        """Products with data, sorted by id."""
        async with self._database.session() as session:
            return await TimeSeriesRepository(session).overview(product_ids, until)

    @transient_errors
    async def profiles(self, product_ids: Sequence[str]) -> dict[str, ProductProfile]:
        """Products that exist."""
        async with self._database.session() as session:
            return await ClassificationRepository(session).profiles(product_ids)

    @transient_errors
    async def weekly_sales(self, product_ids: Sequence[str], end: date) -> WeeklySales:
        """History up to the week of ``end``."""
        async with self._database.session() as session:
            return await TimeSeriesRepository(session).weekly_sales(product_ids, start=None, end=end)
