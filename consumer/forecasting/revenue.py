"""Expected price of a product, and with it revenue from volume."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Final

import numpy as np

from consumer.forecasting.fitting import DECIMALS, LIMIT

if TYPE_CHECKING:
    from consumer.forecasting.history import History
    from consumer.forecasting.types import FloatArray

PRICE_WEEKS: Final = 13
DIVERGENCE: Final = 0.3
_MEDIAN: Final = 2


class RevenueTooLargeError(Exception):
    """Volume times price is more than the database can hold."""


def expected_price(history: History, list_price: float | None) -> float | None:
    """Choose the price of the weeks to come, in money per unit.

    The list price; else revenue by volume of the last 13 weeks; else that of the last week with sales; else
    None. Weeks without positive volume and revenue (returns, samples given away) say nothing about a price.
    """
    if list_price is not None and isfinite(list_price) and list_price > 0:
        return list_price
    volume, revenue = history.volume[-PRICE_WEEKS:], history.revenue[-PRICE_WEEKS:]
    weeks = np.flatnonzero((volume > 0) & (revenue > 0))
    if not weeks.size:  # look further back only for what has not been sold lately
        volume, revenue = history.volume, history.revenue
        weeks = np.flatnonzero((volume > 0) & (revenue > 0))[-1:]
    return float(revenue[weeks].sum() / volume[weeks].sum()) if weeks.size else None


def revenue_quantiles(volume: FloatArray, price: float | None) -> FloatArray | None:
    """Multiply volume quantiles ``(horizon, 5)`` by a price; None without one.

    Raises:
        RevenueTooLargeError: A value does not fit the database.
    """
    if price is None:
        return None
    revenue: FloatArray = np.round(volume * price, DECIMALS)
    largest = float(revenue.max())
    if not largest < LIMIT - 1:
        raise RevenueTooLargeError(f"revenue of {largest:g} at the price {price:g} is too large to store")
    return revenue


def storable(revenue: FloatArray | None) -> FloatArray | None:
    """Round the direct forecast as the database keeps it; None if it has none, or cannot be kept."""
    if revenue is None or not np.isfinite(revenue).all() or not float(revenue.max()) < LIMIT - 1:
        return None
    rounded: FloatArray = np.round(revenue, DECIMALS)
    return rounded


def diverges(revenue: FloatArray | None, direct: FloatArray | None) -> bool:
    """Whether two forecasts of revenue ``(horizon, 5)`` contradict each other.

    They do if the sums of their medians differ by more than ``DIVERGENCE`` of the larger one: then the price
    is not what is being paid, or volume and money do not move together.
    """
    if revenue is None or direct is None:
        return False
    one, other = float(revenue[:, _MEDIAN].sum()), float(direct[:, _MEDIAN].sum())
    return abs(one - other) > DIVERGENCE * max(one, other)
