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
_INTERVALS: Final = {"lo-80": 0, "lo-50": 1, "hi-50": 3, "hi-80": 4}
_MEDIAN: Final = 2


@dataclass(frozen=True, slots=True)
class AutoEts:
    """Error, level and, with two years of history, trend, each form chosen by AICc.

    Without two years a trend cannot be told from a season: on 39 weeks of real sales the trends that AICc
    chose made the pinball loss 3 to 9 % worse, so they are not offered.
    """

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The model strings of statsforecast's AutoETS."""
        return {"model": "ZNN", "model_from_weeks": {str(TREND_WEEKS): "ZZN"}, "season_length": 1}

    def fit_predict(self, history: FloatArray, horizon: int, seed: int) -> FloatArray:
        """See ``LocalModel``. Nothing is random; a trend brings the model's own intervals."""
        del seed
        if history.size < TREND_WEEKS:
            fit = library().AutoETS(season_length=1, model="ZNN").forecast(history, horizon, fitted=True)
            return level_quantiles(history, fit["fitted"], fit["mean"])
        model = library().AutoETS(season_length=1, model="ZZN")
        fit = model.forecast(history, horizon, level=[50, 80], fitted=True)
        mean = fit["mean"]
        if np.ptp(mean) <= np.finfo(np.float64).eps * abs(mean[0]):
            return level_quantiles(history, fit["fitted"], mean)
        quantiles = np.empty((horizon, _MEDIAN * 2 + 1))
        quantiles[:, _MEDIAN] = mean
        for name, column in _INTERVALS.items():
            quantiles[:, column] = fit[name]
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
