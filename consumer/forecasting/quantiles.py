"""From a point forecast and a model's own past errors to five quantiles, never negative, never crossing.

The models here forecast one level for all weeks ahead. What such a model would have forecast ``k`` weeks
before week ``t`` is the level it had then, so one fit gives all its past errors, one to ``horizon`` weeks
ahead, without a refit (cf. Hyndman and Athanasopoulos, "Forecasting: Principles and Practice", 3rd ed., 5.5,
bootstrapped residuals; here the residuals are pooled over the horizons, since a horizon of its own has too
few of them in a year).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from consumer.forecasting.history import ENDED_WEEKS
from consumer.forecasting.types import QUANTILES

if TYPE_CHECKING:
    from consumer.forecasting.types import FloatArray, IntArray

SHORT_WEEKS: Final = 8
BURN_IN_WEEKS: Final = 4
ORIGINS: Final = 104

# Errors inside the sample are smaller than those to come. This and the next were chosen on one holdout of a
# supermarket's sales (39 weeks known, 13 held out); docs/forecasting.md has a second holdout, not chosen on.
WIDENING: Final = 1.15
# Half of the median error moves the middle: the whole of it follows past drift, none of it misses the skew.
MEDIAN_WEIGHT: Final = 0.5

# Deviation of the 13 weeks that follow from the last level, as a multiple of the mean so far, in the first 2
# to 7 weeks of 2,056 new products of the same supermarket.
_NEW_PRODUCT: Final = (-1.5, -0.6, 0.0, 1.0, 3.0)
_MEDIAN: Final = 2


def level_quantiles(history: FloatArray, levels: FloatArray, forecast: FloatArray) -> FloatArray:
    """Quantiles around a level forecast, from the errors that the same model made in the past.

    Where demand has ended, the errors since then count, as they are: those of the living years, or a wider band, would
    lift a level that has died.

    Args:
        history: ``(weeks,)`` units.
        levels: ``(weeks,)`` units; for each week the level that the model had before it, NaN where none yet.
        forecast: ``(horizon,)`` units.

    Returns:
        ``(horizon, 5)`` units, tidy.
    """
    if history.size < SHORT_WEEKS:
        deviations = np.array(_NEW_PRODUCT) * history.mean()
    else:
        empty = _empty_weeks_at_the_end(history)
        ended = empty >= ENDED_WEEKS
        target, origin = _pairs(history.size, forecast.size, min(empty, ORIGINS) if ended else ORIGINS)
        errors = _five_quantiles(history[target] - levels[origin])
        middle = errors[_MEDIAN]
        deviations = errors if ended else MEDIAN_WEIGHT * middle + WIDENING * (errors - middle)
    return tidy(forecast[:, None] + deviations)


def tidy(quantiles: FloatArray) -> FloatArray:
    """Make quantiles non-negative and non-crossing along their last axis; what is not finite stays so."""
    ordered: FloatArray = np.maximum.accumulate(np.maximum(quantiles, 0.0), axis=-1)
    return ordered


def _empty_weeks_at_the_end(history: FloatArray) -> int:
    """Give how many; the whole length if nothing was ever sold."""
    sold = np.flatnonzero(history)
    return int(history.size - 1 - sold[-1]) if sold.size else history.size


@lru_cache(maxsize=256)
def _pairs(weeks: int, horizon: int, origins: int) -> tuple[IntArray, IntArray]:
    """Every (week, week whose level forecasts it) of the newest origins, as two index arrays."""
    first = max(BURN_IN_WEEKS, weeks - origins)
    origin, ahead = np.meshgrid(np.arange(first, weeks), np.arange(horizon), indexing="ij")
    target = origin + ahead
    inside = target < weeks
    return target[inside], origin[inside]


def _five_quantiles(errors: FloatArray) -> FloatArray:
    """Linear interpolation between order statistics, as ``numpy.quantile``, at a fraction of its overhead."""
    ordered = np.sort(errors)
    position = np.array(QUANTILES) * (ordered.size - 1)
    below = position.astype(np.int64)
    above = np.minimum(below + 1, ordered.size - 1)
    result: FloatArray = ordered[below] + (position - below) * (ordered[above] - ordered[below])
    return result
