"""The last value and the mean of the last twelve: the floor that every other model is measured against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from consumer.forecasting.models.base import library
from consumer.forecasting.quantiles import level_quantiles

if TYPE_CHECKING:
    from collections.abc import Mapping

    from consumer.forecasting.types import FloatArray

AVERAGE_WEEKS: Final = 12


@dataclass(frozen=True, slots=True)
class Naive:
    """The last week goes on."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """It has none."""
        return {}

    def fit_predict(self, history: FloatArray, horizon: int, seed: int) -> FloatArray:
        """See ``LocalModel``. Nothing is random."""
        del seed
        fit = library().Naive().forecast(history, horizon, fitted=True)
        return level_quantiles(history, fit["fitted"], fit["mean"])


@dataclass(frozen=True, slots=True)
class MovingAverage:
    """The mean of the last 12 weeks, or of all where there are fewer."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The window."""
        return {"weeks": AVERAGE_WEEKS}

    def fit_predict(self, history: FloatArray, horizon: int, seed: int) -> FloatArray:
        """See ``LocalModel``. Nothing is random."""
        del seed
        window = min(AVERAGE_WEEKS, history.size)
        fit = library().WindowAverage(window_size=window).forecast(history, horizon)
        return level_quantiles(history, _averages_before(history), fit["mean"])


def baseline(history: FloatArray, horizon: int) -> FloatArray:
    """Quantiles of the moving average with the mean itself as p50, as whoever says "a moving average" expects it.

    The model moves p50 towards the median of its past errors; a yardstick does not improve itself.

    Args:
        history: ``(weeks,)`` units.
        horizon: Weeks.

    Returns:
        ``(horizon, 5)`` units, tidy.
    """
    quantiles = MovingAverage().fit_predict(history, horizon, 0)
    mean = history[-AVERAGE_WEEKS:].mean()
    below, above = np.minimum(quantiles[:, :2], mean), np.maximum(quantiles[:, 3:], mean)
    return np.hstack((below, np.full((horizon, 1), mean), above))


def _averages_before(history: FloatArray) -> FloatArray:
    """Give each week's mean of the 12 weeks before it, which statsforecast does not."""
    sums = np.concatenate(([0.0], np.cumsum(history)))
    week = np.arange(history.size)
    start = np.maximum(week - AVERAGE_WEEKS, 0)
    means: FloatArray = (sums[week] - sums[start]) / np.maximum(week - start, 1)
    return means
