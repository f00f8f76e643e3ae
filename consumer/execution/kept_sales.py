"""Sales that two steps of one attempt need: classified by first, forecast from later, read once.

Half of the reading of a predict whose products have no classes is spared so; how much is kept is bounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from consumer.forecasting.history import rows_by_product
from consumer.forecasting.types import WeeklySales

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from consumer.forecasting.history import Rows
    from consumer.ports.sales import SalesReader

MOST_ROWS: Final = 500_000  # of 32 bytes


class KeptSales:
    """Weekly sales, kept by product and last week until they are used."""

    def __init__(self, sales: SalesReader, most_rows: int = MOST_ROWS) -> None:
        self._sales = sales
        self._room = most_rows
        self._kept: dict[tuple[date, str], Rows] = {}

    async def read_first(self, product_ids: Sequence[str], end: date) -> WeeklySales:
        """Read up to the week of ``end``, and keep it for ``read_last`` while there is room."""
        sales = await self._sales.weekly_sales(product_ids, end)
        if sales.product.size <= self._room:
            # The products of one reading share its arrays, so its room is gone for good, whatever was used of it.
            self._room -= sales.product.size
            self._kept |= {(end, name): rows for name, rows in rows_by_product(sales)}
        return sales

    async def read_last(self, product_ids: Sequence[str], end: date) -> WeeklySales:
        """What was kept of these products and is given up now; if one of them was not, all are read."""
        kept = [self._kept.pop((end, name), None) for name in product_ids]
        found = [rows for rows in kept if rows is not None]
        if not found or len(found) < len(kept):
            return await self._sales.weekly_sales(product_ids, end)
        return WeeklySales(
            tuple(product_ids),
            np.repeat(np.arange(len(found)), [rows.week.size for rows in found]),
            np.concatenate([rows.week for rows in found]),
            np.concatenate([rows.volume for rows in found]),
            np.concatenate([rows.revenue for rows in found]),
        )
