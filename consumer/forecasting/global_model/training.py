"""From the products of a chunk to rows to learn from: features at an origin, demand some weeks after it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from consumer.forecasting.global_model.feature_rows import feature_rows
from consumer.forecasting.global_model.features import NAMES, all_origins
from consumer.forecasting.global_model.sampling import kept_rows, product_keys, row_keys, rows_per_product

if TYPE_CHECKING:
    from consumer.forecasting.global_model.base import ArrowTable, Panel
    from consumer.forecasting.global_model.features import Origins
    from consumer.forecasting.global_model.sampling import KeyArray
    from consumer.forecasting.types import IntArray
    from schemas.enums import TargetType

HORIZON: Final = 13
LARGEST: Final = 20.0

KEY, WEEK, DEMAND = "key", "week", "demand"


def training_table(panel: Panel, target: TargetType, *, products_total: int, seed: int) -> ArrowTable:
    """Make the rows of a chunk.

    Every week of a history but the last is an origin, with targets 1 to ``HORIZON`` weeks ahead; of them a
    sample that depends on the product's id and the seed alone, see ``rows_per_product``.

    Args:
        products_total: How many products all chunks have together.

    Returns:
        ``key`` (order of the rows of all chunks), ``week`` (Monday of the demand, days since 1970),
        ``demand`` (in multiples of the level, cut at ``LARGEST``), and the features ``NAMES``, NaN allowed.
    """
    arrow: Any = import_module("pyarrow")
    origins = all_origins(panel, target)
    index, ahead, keys = _sample(panel, origins, rows_per_product(products_total), seed)
    product, known = origins.product[index], origins.known[index]
    at = panel.start[product] + known + ahead - 1
    demand = np.minimum(panel.target(target)[at] / origins.level[index], LARGEST)
    back = panel.start[product + 1] - 1 - at
    week = np.datetime64(panel.last_week, "D").astype(np.int64) - 7 * back
    features = feature_rows(panel, target, origins, index, ahead)
    columns = {KEY: keys, WEEK: week.astype(np.int32), DEMAND: demand.astype(np.float32)}
    columns |= {name: features[:, number] for number, name in enumerate(NAMES)}
    return arrow.table(columns)


def _sample(panel: Panel, origins: Origins, most: int, seed: int) -> tuple[IntArray, IntArray, KeyArray]:
    """Give the origin, the weeks ahead and the key of each row that is kept."""
    weeks_left = np.diff(panel.start)[origins.product] - origins.known
    usable = np.where(origins.level > 0, np.minimum(weeks_left, HORIZON), 0)
    index = np.repeat(np.arange(usable.size), usable)
    ahead = np.arange(index.size) - np.repeat(np.cumsum(usable) - usable, usable) + 1
    product = origins.product[index]
    keys = row_keys(product_keys(panel.product_ids, seed)[product], origins.known[index], ahead)
    kept = kept_rows(product, keys, most)
    return index[kept], ahead[kept], keys[kept]
