"""How wrong a forecast was: sums over weeks that add up exactly, and the measures that follow from them.

Sums are whole millionths, so that adding them is exact and the result does not depend on how products were
grouped.
"""

from __future__ import annotations

from math import isfinite, sqrt
from typing import TYPE_CHECKING, Final

import numpy as np

from consumer.forecasting.types import QUANTILES, ProductMetric

if TYPE_CHECKING:
    from collections.abc import Mapping

    from consumer.forecasting.types import FloatArray, PlannedProduct, Variant

Sums = dict[str, int]

_MILLIONTHS: Final = 1_000_000
_DECIMALS: Final = 4
_P10, _P25, _P50, _P75, _P90 = range(5)


def error_sums(actual: FloatArray, quantiles: FloatArray) -> Sums:
    """Add up one product's errors over its holdout.

    Args:
        actual: ``(weeks,)`` units.
        quantiles: ``(weeks, 5)`` units, forecast for the same weeks.

    Returns:
        Counts, and sums in millionths; ``percentage`` is of the weeks with demand only. ``pinball`` is the
        mean over the five quantiles (Koenker and Bassett 1978: ``max(q * d, (q - 1) * d)`` for the deviation
        ``d``).
    """
    error = quantiles[:, _P50] - actual
    demand = actual > 0
    deviation = actual[:, None] - quantiles
    levels = np.array(QUANTILES)
    pinball = np.maximum(levels * deviation, (levels - 1) * deviation).mean(axis=1)
    return {
        "products": 1,
        "weeks": actual.size,
        "demand_weeks": int(np.count_nonzero(demand)),
        "actual": _exact(actual.sum()),
        "error": _exact(error.sum()),
        "absolute": _exact(np.abs(error).sum()),
        "squared": _exact(np.square(error).sum()),
        "percentage": _exact(100 * (np.abs(error[demand]) / actual[demand]).sum()),
        "pinball": _exact(pinball.sum()),
        "in_p10_p90": int(np.count_nonzero((actual >= quantiles[:, _P10]) & (actual <= quantiles[:, _P90]))),
        "in_p25_p75": int(np.count_nonzero((actual >= quantiles[:, _P25]) & (actual <= quantiles[:, _P75]))),
    }


def add(total: Sums, part: Mapping[str, int]) -> None:
    """Add ``part`` to ``total`` in place."""
    for name, value in part.items():
        total[name] = total.get(name, 0) + value


def measures(sums: Mapping[str, int]) -> dict[str, float | int | None]:
    """Compute the measures of one product or of many together.

    Returns:
        ``mape``, ``wape`` and the coverages in percent; ``mae``, ``rmse``, ``bias`` (mean of forecast -
        actual) and ``pinball`` in units a week. None where nothing can be divided by.
    """
    weeks, demand_weeks = sums["weeks"], sums["demand_weeks"]
    return {
        "products": sums["products"],
        "weeks": weeks,
        "wape": _ratio(100 * sums["absolute"], sums["actual"]),
        "mape": _ratio(sums["percentage"], demand_weeks * _MILLIONTHS),
        "mae": _ratio(sums["absolute"], weeks * _MILLIONTHS),
        "rmse": _rounded(sqrt(sums["squared"] / (weeks * _MILLIONTHS))) if weeks else None,
        "bias": _ratio(sums["error"], weeks * _MILLIONTHS),
        "pinball": _ratio(sums["pinball"], weeks * _MILLIONTHS),
        "coverage_p10_p90": _ratio(100 * sums["in_p10_p90"], weeks),
        "coverage_p25_p75": _ratio(100 * sums["in_p25_p75"], weeks),
    }


def product_metric(product: PlannedProduct, variant: Variant, sums: Mapping[str, int]) -> ProductMetric:
    """Give the row of ``forecast_metrica`` of one product and model."""
    values = measures(sums)
    return ProductMetric(
        product.product_id,
        variant,
        product.classe_abc,
        mape=values["mape"],
        mae=values["mae"],
        rmse=values["rmse"],
        bias=values["bias"],
    )


def _exact(value: float) -> int:
    return round(float(value) * _MILLIONTHS)


def _ratio(part: int, whole: int) -> float | None:
    return _rounded(part / whole) if whole else None


def _rounded(value: float) -> float | None:
    return round(value, _DECIMALS) if isfinite(value) else None
