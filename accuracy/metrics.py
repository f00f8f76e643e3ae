"""Measures of many products' forecasts, scaled so that no product outweighs the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from consumer.forecasting.types import QUANTILES

if TYPE_CHECKING:
    from consumer.forecasting.types import FloatArray

_P10, _P25, _P50, _P75, _P90 = range(5)


@dataclass(frozen=True, slots=True)
class Measures:
    """One row of the table; shares are fractions.

    Attributes:
        scaled_mae: Absolute error of p50 by the mean absolute change from week to week of the known weeks
            (Hyndman and Koehler 2006, MASE), mean over products.
        rmsse: Root of the squared error by the mean squared change (Makridakis et al. 2022, M5), likewise.
        wape: Sum of absolute errors by the sum of demand, in units.
        bias: Forecast minus actual, scaled as ``scaled_mae``.
        pinball: Twice the pinball loss, mean of the five quantiles, scaled as ``scaled_mae``: that of p50 is
            ``scaled_mae`` itself.
        coverage_80: Share of weeks within p10 and p90, both included; ``coverage_50`` of p25 and p75.
    """

    scaled_mae: float
    rmsse: float
    wape: float
    bias: float
    pinball: float
    coverage_80: float
    coverage_50: float
    products: int


def change(known: FloatArray) -> tuple[float, float]:
    """Mean absolute and mean squared change from one week to the next; zero if there is none."""
    steps = np.diff(known)
    return (float(np.abs(steps).mean()), float(np.square(steps).mean())) if steps.size else (0.0, 0.0)


def measure(actual: FloatArray, quantiles: FloatArray, absolute: FloatArray, squared: FloatArray) -> Measures:
    """Measure forecasts.

    Args:
        actual: ``(n, weeks)`` units.
        quantiles: ``(n, weeks, 5)`` units.
        absolute: ``(n,)`` mean absolute change of each product, above zero; ``squared`` likewise.
    """
    error = quantiles[..., _P50] - actual
    deviation = actual[..., None] - quantiles
    levels = np.array(QUANTILES)
    loss = 2 * np.maximum(levels * deviation, (levels - 1) * deviation).mean(axis=-1)
    within_80, within_50 = coverage(actual, quantiles)
    return Measures(
        scaled_mae=float((np.abs(error).mean(axis=1) / absolute).mean()),
        rmsse=float(np.sqrt(np.square(error).mean(axis=1) / squared).mean()),
        wape=float(np.abs(error).sum() / actual.sum()),
        bias=float((error.mean(axis=1) / absolute).mean()),
        pinball=float((loss.mean(axis=1) / absolute).mean()),
        coverage_80=within_80,
        coverage_50=within_50,
        products=actual.shape[0],
    )


def coverage(actual: FloatArray, quantiles: FloatArray) -> tuple[float, float]:
    """Share of weeks within p10 and p90, and within p25 and p75."""
    outer = (actual >= quantiles[..., _P10]) & (actual <= quantiles[..., _P90])
    inner = (actual >= quantiles[..., _P25]) & (actual <= quantiles[..., _P75])
    return float(outer.mean()), float(inner.mean())
