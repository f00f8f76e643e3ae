"""Rows for LightGBM: the features of a point in time, and of a week some weeks ahead of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from consumer.forecasting.global_model.features import NAMES, OF_WEEK

if TYPE_CHECKING:
    from consumer.forecasting.global_model.base import Panel
    from consumer.forecasting.global_model.features import Float32Array, Origins
    from consumer.forecasting.types import FloatArray, IntArray
    from schemas.enums import TargetType

YEAR: Final = 52


def feature_rows(panel: Panel, target: TargetType, origins: Origins, index: IntArray, ahead: IntArray) -> Float32Array:
    """Give the features of some origins for some weeks ahead.

    Args:
        index: ``(k,)`` which origins.
        ahead: ``(k,)`` weeks ahead, from 1.

    Returns:
        ``(k, NAMES)`` in 32 bits, which is what LightGBM's bins need.
    """
    features = np.empty((index.size, len(NAMES)), dtype=np.float32)
    features[:, : -len(OF_WEEK)] = origins.features[index]
    for place, column in enumerate(_of_week(panel, target, origins, index, ahead), -len(OF_WEEK)):
        features[:, place] = column
    return features


def latest_values(panel: Panel, target: TargetType, origins: Origins, weeks: int) -> tuple[FloatArray, FloatArray]:
    """Give what ``feature_rows`` gives for each origin and each of some weeks ahead, what weeks have in common once.

    Returns:
        ``(SCALED and PLAIN, m)`` and ``(OF_WEEK, weeks, m)``: the numbers of 32 bits, in 64.
    """
    index, ahead = np.arange(origins.product.size)[None, :], np.arange(1, weeks + 1)[:, None]
    of_week = np.stack(np.broadcast_arrays(*_of_week(panel, target, origins, index, ahead)))
    own, week = (values.astype(np.float32).astype(np.float64) for values in (origins.features.T, of_week))
    return np.ascontiguousarray(own), week


def _of_week(
    panel: Panel, target: TargetType, origins: Origins, index: IntArray, ahead: IntArray
) -> tuple[FloatArray | IntArray, ...]:
    """Give the columns of ``OF_WEEK``; origins and weeks ahead broadcast against each other."""
    product, known = origins.product[index], origins.known[index]
    week = np.datetime64(panel.last_week, "D") + 7 * (known + ahead - np.diff(panel.start)[product])
    of_month = (week - week.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64) // 7
    of_year = (week - week.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64) // 7
    with np.errstate(divide="ignore", invalid="ignore"):
        last_year = _last_year(panel, target, product, known + ahead - 1 - YEAR) / origins.level[index]
    # Before a year is known, the week of the year is just time: trees would take the next for the last one seen.
    return ahead, of_month, np.where(known >= YEAR, of_year, np.nan), last_year


def _last_year(panel: Panel, target: TargetType, product: IntArray, week: IntArray) -> FloatArray:
    """Mean of the week a year earlier and its two neighbours; NaN where one of them is not known."""
    values = panel.target(target)
    inside = (week >= 1) & (week + 1 < np.diff(panel.start)[product])
    at = np.where(inside, panel.start[product] + week, 0)
    three = values[at - 1] + values[at] + values[(at + 1) % values.size]
    mean: FloatArray = np.where(inside, three / 3, np.nan)
    return mean
