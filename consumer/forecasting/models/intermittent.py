"""Demand with many empty weeks: Croston 1972; SBA, Syntetos and Boylan 2005; TSB, Teunter et al. 2011."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from consumer.forecasting.models.base import library
from consumer.forecasting.quantiles import level_quantiles

if TYPE_CHECKING:
    from collections.abc import Mapping

    from consumer.forecasting.types import FloatArray


@dataclass(frozen=True, slots=True)
class Intermittent:
    """One of statsforecast's models for intermittent demand.

    Attributes:
        model: Name of its class.
        arguments: Of the class.
    """

    model: str
    arguments: Mapping[str, float] = field(default_factory=dict)

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The class and what is set by hand."""
        return {"model": self.model, **self.arguments}

    def fit_predict(self, history: FloatArray, horizon: int, seed: int) -> FloatArray:
        """See ``LocalModel``. Nothing is random."""
        del seed
        model = getattr(library(), self.model)(**self.arguments)
        with warnings.catch_warnings():
            # CrostonOptimized warns that levels cost it a fit a week; without them there is no band.
            warnings.simplefilter("ignore", UserWarning)
            fit = model.forecast(history, horizon, fitted=True)
        return level_quantiles(history, fit["fitted"], fit["mean"])
