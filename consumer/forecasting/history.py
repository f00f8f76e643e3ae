"""From rows of sales to a gapless weekly history, with a rule for each edge of real data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from consumer.forecasting.types import FloatArray, WeekArray, WeeklySales

SPIKE_RATIO: Final = 5.0
SPIKE_MINIMUM_WEEKS: Final = 8
ENDED_WEEKS: Final = 26

NET_RETURNS: Final = "net-returns"
NEVER_SOLD: Final = "never-sold"
ENDED: Final = "ended"
SPIKE: Final = "spike"


class InvalidSalesError(Exception):
    """Sales of a product that no rule can repair; the message names the week and the value."""


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


def gapless(rows: Rows, last_week: date) -> History:
    """Fill gaps with zero demand from the first sale to ``last_week``; later rows are not looked at.

    A week in which returns exceed sales counts as zero demand. Before the first week with a positive volume
    there is no data, so a product that never sold has an empty history.

    Raises:
        InvalidSalesError: A volume or revenue is not finite.
    """
    last = np.datetime64(last_week, "D")
    until = int(rows.week.searchsorted(last, side="right"))
    week, volume, revenue = rows.week[:until], rows.volume[:until], rows.revenue[:until]
    _require_finite(week, volume, revenue)
    sold = volume > 0
    if not sold.any():
        return History(np.empty(0), np.empty(0), (NEVER_SOLD,) if week.size else ())
    start = int(sold.argmax())
    week, volume, revenue = week[start:], volume[start:], revenue[start:]
    length = int((last - week[0]).astype(np.int64)) // 7 + 1
    if week.size != length or not (week[1:] > week[:-1]).all():  # most products have a row in every week
        index = (week - week[0]).astype(np.int64) // 7
        volume = np.bincount(index, weights=volume, minlength=length).astype(np.float64)
        revenue = np.bincount(index, weights=revenue, minlength=length).astype(np.float64)
    notes = (NET_RETURNS,) if volume.min() < 0 else ()
    return History(np.maximum(volume, 0.0), revenue, notes)


def for_fitting(history: History) -> History:
    """Give what the models see of a history: a single giant week is cut to the largest other one.

    Only one week, and only if it is more than ``SPIKE_RATIO`` times every other, with demand in at least
    ``SPIKE_MINIMUM_WEEKS`` weeks: two such weeks are a pattern, and a shorter history has no usual size yet.
    """
    volume, notes = history.volume, history.notes
    if np.count_nonzero(volume) >= SPIKE_MINIMUM_WEEKS:
        second, first = np.partition(volume, -2)[-2:].tolist()
        if first > SPIKE_RATIO * second:
            volume, notes = np.minimum(volume, second), (*notes, SPIKE)
    if volume.size > ENDED_WEEKS and not volume[-ENDED_WEEKS:].any():
        notes = (*notes, ENDED)
    return History(volume, history.revenue, notes)


def _require_finite(week: WeekArray, volume: FloatArray, revenue: FloatArray) -> None:
    if np.isfinite(volume).all() and np.isfinite(revenue).all():
        return
    for name, values in (("volume", volume), ("revenue", revenue)):
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            at = int(bad[0])
            raise InvalidSalesError(f"{name} of week {week[at]} is {values[at]}, it must be a finite number")
