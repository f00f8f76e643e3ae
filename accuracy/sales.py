"""The sales: what is known, what is held out, and nothing that mixes the two."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from consumer.demo.sample_sales import read_sales
from consumer.forecasting.classification import demand_shapes
from consumer.forecasting.gapless import histories
from consumer.forecasting.history import rows_by_product
from consumer.forecasting.types import ProductOverview, ProductProfile, WeeklySales

if TYPE_CHECKING:
    from consumer.forecasting.classification import DemandShape
    from consumer.forecasting.types import FloatArray

HOLDOUT_WEEKS: Final = 13
MINIMUM_WEEKS: Final = 26
_EVERYTHING: Final = 10**9


@dataclass(frozen=True, slots=True)
class Split:
    """Products that can be measured.

    Attributes:
        known: Sales up to ``as_of``; whoever forecasts gets these alone.
        held_out: ``(n, HOLDOUT_WEEKS)`` units after ``as_of``, returns as zero.
        as_of: The newest known week.
    """

    known: WeeklySales
    held_out: FloatArray
    as_of: date

    @property
    def product_ids(self) -> tuple[str, ...]:
        """The products, in the order of all arrays."""
        return self.known.product_ids

    def block(self, first: int, size: int) -> WeeklySales:
        """Known sales of some products."""
        sales = self.known
        start, end = np.searchsorted(sales.product, (first, first + size))
        rows = slice(int(start), int(end))
        return WeeklySales(
            sales.product_ids[first : first + size],
            sales.product[rows] - first,
            sales.week[rows],
            sales.volume[rows],
            sales.revenue[rows],
        )

    def histories(self) -> list[FloatArray]:
        """Known units of each product, without gaps, from its first sale on."""
        return [history.volume for history in histories(self.known, self.as_of).usable.values()]

    def overviews(self) -> dict[str, ProductOverview]:
        """What planning knows of each product."""
        result: dict[str, ProductOverview] = {}
        for product_id, rows in rows_by_product(self.known):
            first: date = rows.week[rows.volume > 0][0].item()
            result[product_id] = ProductOverview(product_id, first, self.as_of, float(rows.revenue.sum()))
        return result

    def shapes(self) -> dict[str, DemandShape]:
        """Demand patterns of the known weeks."""
        return demand_shapes(self.known, self.as_of)

    def profiles(self) -> tuple[ProductProfile, ...]:
        """Products without any stored class, suggestion or list price: everything is computed."""
        return tuple(ProductProfile(product_id) for product_id in self.product_ids)


def split(products: int | None = None, earlier: int = 0) -> Split:
    """Read the sales of all products with at least 26 weeks of sales in the year, the last 13 weeks held out.

    A product that was first sold in the holdout, or never changed before it, has no scale and is left out.

    Args:
        products: Take only so many, the same ones each time, whatever they sell.
        earlier: End the year so many weeks earlier, for trying things out on weeks that are not held out.
    """
    sample = read_sales(_EVERYTHING)
    named = pl.col("source_id").cast(pl.String)
    enough = sample.products.filter(pl.col("weeks") >= MINIMUM_WEEKS).select(named)["source_id"].to_list()
    last_week = sample.last_week - timedelta(weeks=earlier)
    as_of = last_week - timedelta(weeks=HOLDOUT_WEEKS)
    chosen = sorted(sorted(enough, key=_scattered)[:products])
    weekly = sample.weekly.with_columns(named).filter(pl.col("source_id").is_in(chosen), pl.col("week") <= last_week)
    known = _rows(weekly.filter(pl.col("week") <= as_of), chosen)
    usable = [name for name, history in histories(known, as_of).usable.items() if _changes(history.volume)]
    kept = weekly.filter(pl.col("source_id").is_in(usable))
    later = kept.filter(pl.col("week") > as_of)
    return Split(_rows(kept.filter(pl.col("week") <= as_of), usable), _held_out(later, usable, as_of), as_of)


def _changes(known: FloatArray) -> bool:
    return known.size > 1 and bool(np.ptp(known) > 0)


def _scattered(product_id: str) -> bytes:
    return blake2b(product_id.encode(), digest_size=8).digest()


def _rows(weekly: pl.DataFrame, product_ids: list[str]) -> WeeklySales:
    ordered = weekly.join(_numbered(product_ids), on="source_id").sort("product", "week")
    return WeeklySales(
        tuple(product_ids),
        ordered["product"].to_numpy().astype(np.int64),
        ordered["week"].to_numpy().astype("datetime64[D]"),
        ordered["volume"].to_numpy().astype(np.float64),
        ordered["revenue"].to_numpy().astype(np.float64),
    )


def _held_out(later: pl.DataFrame, product_ids: list[str], as_of: date) -> FloatArray:
    rows = _rows(later, product_ids)
    ahead = (rows.week - np.datetime64(as_of, "D")).astype(np.int64) // 7 - 1
    result = np.zeros((len(product_ids), HOLDOUT_WEEKS))
    result[rows.product, ahead] = np.maximum(rows.volume, 0.0)
    return result


def _numbered(product_ids: list[str]) -> pl.DataFrame:
    return pl.DataFrame({"source_id": product_ids, "product": range(len(product_ids))})
