"""Statistics of the weeks before each point in time, of many histories at once.

The window functions are coreforecast's, the engine below mlforecast and statsforecast. A history of n weeks has
n + 1 points: before its first week, between two weeks, and after its last.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consumer.forecasting.types import FloatArray, IntArray


class Windows:
    """Window statistics over histories that lie one after the other.

    Args:
        start: ``(n + 1,)`` where each history begins, and the end of the last.
    """

    def __init__(self, start: IntArray) -> None:
        self._transforms: Any = import_module("coreforecast.lag_transforms")
        self._groups: Any = import_module("coreforecast.grouped_array").GroupedArray
        self._of_weeks = start
        self._start = start + np.arange(start.size)
        self._is_week = np.ones(int(self._start[-1]), dtype=bool)
        self._is_week[self._start[1:] - 1] = False
        points = np.diff(self._start)
        self.known: IntArray = np.arange(self._is_week.size) - np.repeat(self._start[:-1], points)

    def points(self, product: IntArray, known: IntArray) -> IntArray:
        """Give the index, among all points, of those after ``known`` weeks of each product."""
        index: IntArray = self._start[product] + known
        return index

    def apply(self, values: FloatArray, transform: str, *arguments: float, **options: int) -> FloatArray:
        """Apply a lag transform of coreforecast to ``(weeks of all,)`` values; NaN where there are too few."""
        spread = np.zeros(self._is_week.size)
        spread[self._is_week] = values
        groups = self._groups(spread, self._start.astype(np.int32))
        result: FloatArray = getattr(self._transforms, transform)(*arguments, **options).transform(groups)
        return result

    def quantiles_at_ends(self, values: FloatArray, quantiles: Sequence[float], weeks: int) -> list[FloatArray]:
        """What ``apply`` with RollingQuantile gives after the last week of each history, to the last bit.

        A fiftieth of its time: each history's last weeks are sorted once for all quantiles.
        """
        known = np.minimum(np.diff(self._of_weeks), weeks)
        back = np.arange(1, weeks + 1)
        inside = back <= known[:, None]
        ordered = np.where(inside, values[np.where(inside, self._of_weeks[1:, None] - back, 0)], np.inf)
        ordered.sort(axis=1)
        history = np.arange(known.size)
        found: list[FloatArray] = []
        for quantile in quantiles:
            place = quantile * (known - 1)
            below = place.astype(np.int64)
            low, high = ordered[history, below], ordered[history, np.minimum(below + 1, known - 1)]
            found.append(low + (high - low) * (place - below))
        return found

    def mean(self, values: FloatArray, weeks: int | None = None) -> FloatArray:
        """Mean of the last weeks, of fewer where there are no more, or of all."""
        if weeks is None:
            return self.apply(values, "ExpandingMean", 1)
        return self.apply(values, "RollingMean", 1, weeks, min_samples=1)

    def steps(self, values: FloatArray) -> FloatArray:
        """Absolute change of each week from the one before; zero in the first week of a history."""
        change = np.abs(np.diff(values, prepend=values[:1]))
        change[self.known[self._is_week] == 0] = 0.0
        return change

    def weeks_since(self, values: FloatArray) -> FloatArray:
        """Weeks without, before each point: since the last week that is not zero, or since the first."""
        point = np.arange(self._is_week.size)
        spread = np.zeros(self._is_week.size, dtype=bool)
        spread[self._is_week] = values > 0
        first = point - self.known
        last = np.maximum(np.maximum.accumulate(np.where(spread, point, 0)), first)
        since = np.zeros(self._is_week.size)
        since[1:] = point[1:] - 1 - last[:-1]
        return np.minimum(since, self.known)
