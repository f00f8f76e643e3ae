"""Five quantile regressions by LightGBM, fitted so that the same rows give the same bytes."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from consumer.forecasting.global_model.features import NAMES
from consumer.forecasting.global_model.training import DEMAND, KEY, WEEK
from consumer.forecasting.types import QUANTILES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

    from consumer.forecasting.global_model.base import ArrowTable
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
        The boosters in LightGBM's text format.

    Raises:
        TooFewRowsError: Fewer than ``MINIMUM_ROWS`` rows.
    """
    lightgbm: Any = import_module("lightgbm")
    features, demand = _rows(tables, known_until)
    if demand.size < MINIMUM_ROWS:
        raise TooFewRowsError(f"{demand.size} rows to learn from, {MINIMUM_ROWS} are needed")
    common = {**PARAMETERS, "seed": seed % 2**31}
    data = lightgbm.Dataset(features, demand, feature_name=list(NAMES), params=common).construct()
    return tuple(lightgbm.train({**common, "alpha": level}, data, ROUNDS).model_to_string() for level in QUANTILES)


def _rows(tables: Iterable[ArrowTable], known_until: date) -> tuple[FloatArray, FloatArray]:
    """Put the rows together in an order that does not depend on the chunks."""
    newest = int(np.datetime64(known_until, "D").astype(np.int64))
    keys, demands, blocks = [], [], []
    for table in tables:
        kept = table[WEEK].to_numpy() <= newest
        keys.append(table[KEY].to_numpy()[kept])
        demands.append(table[DEMAND].to_numpy()[kept])
        blocks.append(np.column_stack([table[name].to_numpy()[kept] for name in NAMES]))
    if not keys:
        return np.empty((0, len(NAMES))), np.empty(0)
    order = np.argsort(np.concatenate(keys), kind="stable")
    return np.concatenate(blocks)[order], np.concatenate(demands)[order]
