"""Five quantile regressions by LightGBM, fitted so that the same rows give the same bytes."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from consumer.forecasting.global_model.features import NAMES
from consumer.forecasting.global_model.model_text import bare
from consumer.forecasting.global_model.training import DEMAND, KEY, WEEK
from consumer.forecasting.types import QUANTILES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

    from consumer.forecasting.global_model.base import ArrowTable
    from consumer.forecasting.global_model.features import Float32Array
    from consumer.forecasting.types import FloatArray

MINIMUM_ROWS: Final = 2000
ROUNDS: Final = 120
PARAMETERS: Final[Mapping[str, Any]] = {
    "objective": "quantile",
    "learning_rate": 0.05,
    "num_leaves": 15,
    "min_data_in_leaf": 300,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "max_bin": 127,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}


class TooFewRowsError(Exception):
    """There is too little history to learn from; the message says how many rows there are."""


def fit_boosters(tables: Iterable[ArrowTable], known_until: date, seed: int) -> tuple[str, ...]:
    """Fit one booster for each level of ``QUANTILES``.

    Args:
        tables: What ``training_table`` gave, of all chunks, in any order.
        known_until: Rows whose demand is newer are not used.

    Returns:
        The boosters in LightGBM's text format, see ``model_text``.

    Raises:
        TooFewRowsError: Fewer than ``MINIMUM_ROWS`` rows.
    """
    lightgbm: Any = import_module("lightgbm")
    features, demand = _rows(tables, known_until)
    if demand.size < MINIMUM_ROWS:
        raise TooFewRowsError(f"{demand.size} rows to learn from, {MINIMUM_ROWS} are needed")
    common = {**PARAMETERS, "seed": seed % 2**31}
    data = lightgbm.Dataset(features, demand, feature_name=list(NAMES), params=common).construct()
    return tuple(
        bare(lightgbm.train({**common, "alpha": level}, data, ROUNDS).model_to_string()) for level in QUANTILES
    )


def _rows(tables: Iterable[ArrowTable], known_until: date) -> tuple[Float32Array, FloatArray]:
    """Put the rows together in an order that does not depend on the chunks."""
    newest = int(np.datetime64(known_until, "D").astype(np.int64))
    blocks = [np.empty((0, len(NAMES)), dtype=np.float32)]
    keys, demands = [np.empty(0, dtype=np.uint64)], [np.empty(0, dtype=np.float32)]
    for table in tables:
        kept = table[WEEK].to_numpy() <= newest
        keys.append(table[KEY].to_numpy()[kept])
        demands.append(table[DEMAND].to_numpy()[kept])
        blocks.append(np.column_stack([table[name].to_numpy()[kept] for name in NAMES]))
    order = np.argsort(np.concatenate(keys), kind="stable")
    demand: FloatArray = np.concatenate(demands)[order].astype(np.float64)
    features: Float32Array = np.empty((order.size, len(NAMES)), dtype=np.float32)
    place = np.empty_like(order)
    place[order] = np.arange(order.size)
    first = 0
    while blocks:  # one block after the other is let go, so that the rows are in memory once
        block = blocks.pop(0)
        features[place[first : first + len(block)]] = block
        first += len(block)
    return features, demand
