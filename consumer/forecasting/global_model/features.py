"""What a global model sees of a product after a week: its history in multiples of its own level.

Every week of every history is computed by the same calls, so that training and predicting cannot differ; but for the
quantiles of the last weeks, which take most of the time and are the same numbers when only the ends are computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from consumer.forecasting.global_model.windows import Windows

if TYPE_CHECKING:
    from consumer.forecasting.global_model.base import Panel
    from consumer.forecasting.types import FloatArray, IntArray
    from schemas.enums import TargetType

Float32Array = npt.NDArray[np.float32]

LAGS: Final = (1, 2, 3, 4, 8, 13, 26, 52)
MEANS: Final = (4, 8, 13, 26)
DEVIATIONS: Final = (4, 13)
EMPTY: Final = (4, 13)
SMOOTHING: Final = (0.1, 0.3)
QUANTILE_WEEKS: Final = 26
WINDOW_QUANTILES: Final = (0.1, 0.25, 0.5, 0.75, 0.9)
LEVEL_WEEKS: Final = 13

SCALED: Final = (
    *(f"lag_{lag}" for lag in LAGS),
    *(f"mean_{weeks}" for weeks in MEANS),
    *(f"deviation_{weeks}" for weeks in DEVIATIONS),
    *(f"smoothed_{alpha:g}" for alpha in SMOOTHING),
    *(f"quantile_{quantile:g}" for quantile in WINDOW_QUANTILES),
    *("largest_13", "mean_all", "deviation_all", "step_all"),
)
PLAIN: Final = (
    *(f"empty_{weeks}" for weeks in EMPTY),
    *("empty_all", "weeks_since_sale", "log_size", "size_variation", "weeks_known", "log_price"),
    *("price_4", "price_13", "log_level", "class_abc"),
)
OF_WEEK: Final = ("weeks_ahead", "week_of_month", "week_of_year", "last_year")
NAMES: Final = (*SCALED, *PLAIN, *OF_WEEK)


@dataclass(frozen=True, slots=True)
class Origins:
    """Points in time, each after ``known`` weeks of a product.

    Attributes:
        product: ``(m,)`` index of the product.
        known: ``(m,)`` weeks known, at least 1.
        features: ``(m, SCALED and PLAIN)``; NaN where the history is too short.
        level: ``(m,)`` units or money: the unit of the scaled features; zero only if nothing was sold.
    """

    product: IntArray
    known: IntArray
    features: FloatArray
    level: FloatArray


def latest_origins(panel: Panel, target: TargetType) -> Origins:
    """Give the end of each history."""
    return _at(panel, target, np.arange(len(panel.product_ids)), np.diff(panel.start), only_ends=True)


def all_origins(panel: Panel, target: TargetType) -> Origins:
    """Give the point after every week that another week follows."""
    before_last = np.diff(panel.start) - 1
    product = np.repeat(np.arange(before_last.size), before_last)
    first = np.repeat(np.cumsum(before_last) - before_last, before_last)
    return _at(panel, target, product, np.arange(product.size) - first + 1)


def _at(panel: Panel, target: TargetType, product: IntArray, known: IntArray, *, only_ends: bool = False) -> Origins:
    windows, values = Windows(panel.start), panel.target(target)
    point = windows.points(product, known)
    level = (windows.mean(values)[point] + windows.mean(values, LEVEL_WEEKS)[point]) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = np.column_stack(_scaled(windows, values, point, only_ends=only_ends)) / level[:, None]
        plain = np.column_stack([column[point] for column in _plain(windows, panel, values)])
        own = np.column_stack((np.log(level), panel.abc[product]))
    features = np.concatenate((scaled, plain, own), axis=1)
    features[~np.isfinite(features)] = np.nan
    return Origins(product, known, features, level)


def _scaled(windows: Windows, values: FloatArray, point: IntArray, *, only_ends: bool) -> list[FloatArray]:
    """Give the columns of ``SCALED``, not scaled yet, for some points."""
    before = (
        *(windows.apply(values, "Lag", lag) for lag in LAGS),
        *(windows.mean(values, weeks) for weeks in MEANS),
        *(windows.apply(values, "RollingStd", 1, weeks, min_samples=2) for weeks in DEVIATIONS),
        *(windows.apply(values, "ExponentiallyWeightedMean", 1, alpha) for alpha in SMOOTHING),
    )
    behind = (
        windows.apply(values, "RollingMax", 1, LEVEL_WEEKS, min_samples=1),
        windows.mean(values),
        windows.apply(values, "ExpandingStd", 1),
        windows.mean(windows.steps(values)),
    )
    quantiles = (
        windows.quantiles_at_ends(values, WINDOW_QUANTILES, QUANTILE_WEEKS)
        if only_ends
        else [
            windows.apply(values, "RollingQuantile", 1, quantile, QUANTILE_WEEKS, min_samples=1)[point]
            for quantile in WINDOW_QUANTILES
        ]
    )
    return [*(column[point] for column in before), *quantiles, *(column[point] for column in behind)]


def _plain(windows: Windows, panel: Panel, values: FloatArray) -> list[FloatArray]:
    """Give the first columns of ``PLAIN`` for every point."""
    sold = (values > 0).astype(np.float64)
    share, size = windows.mean(sold), windows.mean(values)
    mean_size = size / share
    price = windows.mean(panel.revenue) / windows.mean(panel.volume)
    return [
        *(1 - windows.mean(sold, weeks) for weeks in EMPTY),
        1 - share,
        windows.weeks_since(sold),
        np.log(mean_size),
        np.sqrt(np.maximum(windows.mean(values**2) / share / mean_size**2 - 1, 0)),
        windows.known.astype(np.float64),
        np.log(price),
        *(windows.mean(panel.revenue, weeks) / windows.mean(panel.volume, weeks) / price for weeks in (4, 13)),
    ]
