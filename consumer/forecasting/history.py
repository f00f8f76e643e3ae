"""Weekly demand of a product, and what the models see of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from consumer.forecasting.types import FloatArray, WeekArray, WeeklySales

SPIKE_RATIO: Final = 5.0
SPIKE_MINIMUM_WEEKS: Final = 8
ENDED_WEEKS: Final = 26

NET_RETURNS: Final = "net-returns"
NEVER_SOLD: Final = "never-sold"
ENDED: Final = "ended"
SPIKE: Final = "spike"


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one product, as in ``WeeklySales``."""

    week: WeekArray
    volume: FloatArray
    revenue: FloatArray


@dataclass(frozen=True, slots=True)
class History:
    """Weekly demand without gaps, from the first sale to a last week that is the same for all products.

    Attributes:
        volume: ``(weeks,)`` units, never negative; a week without a row is zero. Empty before the first sale.
        revenue: ``(weeks,)`` money as recorded, zero where there is no row.
        notes: Which rules for odd data applied.
    """

    volume: FloatArray
    revenue: FloatArray
    notes: tuple[str, ...] = ()


def rows_by_product(sales: WeeklySales) -> Iterator[tuple[str, Rows]]:
    """Give each product asked for and its rows (possibly none), in the order of ``sales.product_ids``."""
    bounds = np.searchsorted(sales.product, np.arange(len(sales.product_ids) + 1)).tolist()
    for index, product_id in enumerate(sales.product_ids):
        part = slice(bounds[index], bounds[index + 1])
        yield product_id, Rows(sales.week[part], sales.volume[part], sales.revenue[part])


def for_fitting(history: History) -> History:
    """Give what the models see of a history: a single giant week is cut to the largest other one, its price kept.

    Only one week, and only if it is more than ``SPIKE_RATIO`` times every other, with demand in at least
    ``SPIKE_MINIMUM_WEEKS`` weeks: two such weeks are a pattern, and a shorter history has no usual size yet.
    """
    volume, revenue, notes = history.volume, history.revenue, history.notes
    if np.count_nonzero(volume) >= SPIKE_MINIMUM_WEEKS:
        second, first = np.partition(volume, -2)[-2:].tolist()
        if first > SPIKE_RATIO * second:
            revenue = np.where(volume > second, revenue * (second / first), revenue)
            volume, notes = np.minimum(volume, second), (*notes, SPIKE)
    if volume.size > ENDED_WEEKS and not volume[-ENDED_WEEKS:].any():
        notes = (*notes, ENDED)
    return History(volume, revenue, notes)
