"""Exponential smoothing (Hyndman et al. 2008, "Forecasting with Exponential Smoothing"), by statsforecast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from consumer.forecasting.models.base import library
from consumer.forecasting.quantiles import level_quantiles, tidy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from consumer.forecasting.types import FloatArray

TREND_WEEKS: Final = 104
YEAR: Final = 52
_SURE: Final = 1.645  # one-sided, 5 %
_INTERVALS: Final = {"lo-80": 0, "lo-50": 1, "hi-50": 3, "hi-80": 4}
_MEDIAN: Final = 2


@dataclass(frozen=True, slots=True)
class AutoEts:
    """Error, level and, with two years of history, trend, each form chosen by AICc; a season of 52 where there is one.

    Without two years a trend cannot be told from a season: on 39 weeks of real sales the trends that AICc
    chose made the pinball loss 3 to 9 % worse, so they are not offered. statsforecast's ETS ends at a season
    of 24, so a yearly one is taken out by MSTL (Bandara, Hyndman and Bergmeir 2021) and ETS forecasts the rest.
    """

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The model strings of statsforecast's AutoETS, and what takes a season out."""
        return {
            "model": "ZNN",
            "model_from_weeks": {str(TREND_WEEKS): "ZZN"},
            "season_length": 1,
            "yearly_season": f"MSTL({YEAR}) where years resemble each other",
        }

    def fit_predict(self, history: FloatArray, horizon: int, seed: int) -> FloatArray:
        """See ``LocalModel``. Nothing is random; a trend or a season brings the model's own intervals."""
        del seed
        if history.size < TREND_WEEKS:
            fit = library().AutoETS(season_length=1, model="ZNN").forecast(history, horizon, fitted=True)
            return level_quantiles(history, fit["fitted"], fit["mean"])
        model = library().AutoETS(season_length=1, model="ZZN")
        if years_resemble_each_other(history):
            model = library().MSTL(season_length=YEAR, trend_forecaster=model)
            return _own_intervals(model.forecast(history, horizon, level=[50, 80]), _widening(history.size / YEAR))
        # Not ``forecast``: asked for both, it also makes intervals of every known week, and nobody looks at those. The
        # forecast's own cost a tenth of a fit, and a level has no use for them.
        model.fit(history)
        mean = model.predict(horizon)["mean"]
        if np.ptp(mean) <= np.finfo(np.float64).eps * abs(mean[0]):
            return level_quantiles(history, model.predict_in_sample()["fitted"], mean)
        return _own_intervals(model.predict(horizon, level=[50, 80]))


def years_resemble_each_other(history: FloatArray) -> bool:
    """Whether weeks a year apart are alike once a straight trend is taken out, at the 5 % level.

    Args:
        history: ``(weeks,)`` units, more than a year.
    """
    weeks = np.arange(history.size)
    rest = history - np.polyval(np.polyfit(weeks, history, 1), weeks)
    later, earlier = rest[YEAR:], rest[:-YEAR]
    spread = np.sqrt((later @ later) * (earlier @ earlier))
    return bool(spread > 0 and (later @ earlier) / spread > _SURE / np.sqrt(later.size))


def _widening(years: float) -> float:
    """How much wider the band must be than errors inside the sample say.

    A season that is the mean of y years takes 1/y of the noise with it: errors inside have the variance
    (1 - 1/y), those to come (1 + 1/y).
    """
    return float(np.sqrt((years + 1) / (years - 1)))


def _own_intervals(fit: Mapping[str, FloatArray], widening: float = 1.0) -> FloatArray:
    mean = fit["mean"]
    quantiles = np.empty((mean.size, 2 * _MEDIAN + 1))
    quantiles[:, _MEDIAN] = mean
    for name, column in _INTERVALS.items():
        quantiles[:, column] = mean + widening * (fit[name] - mean)
    return tidy(quantiles)


@dataclass(frozen=True, slots=True)
class SimpleEts:
    """Simple exponential smoothing with its one parameter optimised: what a short history can bear."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Nothing is set by hand."""
        return {"alpha": "optimised between 0.01 and 0.99"}

    def fit_predict(self, history: FloatArray, horizon: int, seed: int) -> FloatArray:
        """See ``LocalModel``. Nothing is random."""
        del seed
        fit = library().SimpleExponentialSmoothingOptimized().forecast(history, horizon, fitted=True)
        return level_quantiles(history, fit["fitted"], fit["mean"])
