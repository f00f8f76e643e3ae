"""From rows of sales to gapless weekly histories, with a rule for each edge of real data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np

from consumer.forecasting.history import NET_RETURNS, NEVER_SOLD, History

if TYPE_CHECKING:
    from datetime import date

    import numpy.typing as npt

    from consumer.forecasting.types import IntArray, WeeklySales


class InvalidSalesError(Exception):
    """Sales of a product that no rule can repair; the message names the week and the value."""


@dataclass(frozen=True, slots=True)
class Histories:
    """What the rows of some products amount to, by product id, in the order in which they were asked for."""

    usable: dict[str, History] = field(default_factory=dict)
    refused: dict[str, InvalidSalesError] = field(default_factory=dict)


def histories(sales: WeeklySales, last_week: date) -> Histories:
    """Fill gaps with zero demand from each product's first sale to ``last_week``; later rows are not looked at.

    A week in which returns exceed sales counts as zero demand. Before the first week with a positive volume
    there is no data, so a product that never sold has an empty history.

    What is asked of every row is asked of all products at once: twenty small questions a product take longer.
    """
    batch = _Batch.of(sales, last_week)
    result = Histories()
    for number, product_id in enumerate(sales.product_ids):
        problem = batch.problem(number)
        if problem is None:
            result.usable[product_id] = batch.history(number)
        else:
            result.refused[product_id] = problem
    return result


@dataclass(frozen=True, slots=True)
class _Batch:
    """The rows of some products, with the answers to what is asked of each product.

    Attributes:
        weeks_ago: ``(rows,)`` before the last week; negative after it.
        begins: ``(n,)`` the first row of each product.
        starts: ``(n,)`` its first row with a sale; ``ends`` or more if there is none.
        ends: ``(n,)`` the row after its last one that is looked at.
        refused: Rows up to the last week whose volume or revenue is not finite.
        unbroken: ``(rows + 1,)`` how many rows before have the next week in the row behind them.
        returned: ``(rows + 1,)`` how many rows before have a negative volume.
    """

    sales: WeeklySales
    weeks_ago: IntArray
    begins: list[int]
    starts: list[int]
    ends: list[int]
    refused: IntArray
    unbroken: IntArray
    returned: IntArray

    @classmethod
    def of(cls, sales: WeeklySales, last_week: date) -> Self:
        weeks_ago = (np.datetime64(last_week, "D") - sales.week).astype(np.int64) // 7
        begins = np.searchsorted(sales.product, np.arange(len(sales.product_ids) + 1))
        known = _before(weeks_ago >= 0)
        finite = np.isfinite(sales.volume) & np.isfinite(sales.revenue)
        sold = np.append(np.flatnonzero(sales.volume > 0), sales.product.size)
        return cls(
            sales,
            weeks_ago,
            begins[:-1].tolist(),
            sold[np.searchsorted(sold, begins[:-1])].tolist(),
            (begins[:-1] + known[begins[1:]] - known[begins[:-1]]).tolist(),
            np.flatnonzero(~finite & (weeks_ago >= 0)),
            _before(weeks_ago[:-1] - weeks_ago[1:] == 1),
            _before(sales.volume < 0),
        )

    def problem(self, number: int) -> InvalidSalesError | None:
        """Why the rows of a product cannot be used."""
        if not self.refused.size:
            return None
        first = int(np.searchsorted(self.refused, self.begins[number]))
        if first == self.refused.size or self.refused[first] >= self.ends[number]:
            return None
        at = int(self.refused[first])
        bad = "revenue" if np.isfinite(self.sales.volume[at]) else "volume"
        value = getattr(self.sales, bad)[at]
        return InvalidSalesError(f"{bad} of week {self.sales.week[at]} is {value}, it must be a finite number")

    def history(self, number: int) -> History:
        """The weeks of a product without gaps."""
        start, end = self.starts[number], self.ends[number]
        if start >= end:
            return History(np.empty(0), np.empty(0), (NEVER_SOLD,) if end > self.begins[number] else ())
        volume, revenue = self.sales.volume[start:end], self.sales.revenue[start:end]
        last = end - 1
        if self.weeks_ago[last] or self.unbroken[last] - self.unbroken[start] < last - start:
            week = self.weeks_ago[start] - self.weeks_ago[start:end]
            length = int(self.weeks_ago[start]) + 1
            volume = np.bincount(week, weights=volume, minlength=length).astype(np.float64)
            revenue = np.bincount(week, weights=revenue, minlength=length).astype(np.float64)
        if self.returned[end] == self.returned[start]:
            return History(volume, revenue)
        notes = (NET_RETURNS,) if volume.min() < 0 else ()
        return History(np.maximum(volume, 0.0), revenue, notes)


def _before(these: npt.NDArray[np.bool_]) -> IntArray:
    """For each place, and the one behind the last, how many before it are true."""
    return np.concatenate(([0], np.cumsum(these)))
