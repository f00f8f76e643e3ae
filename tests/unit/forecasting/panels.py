"""Small worlds of products to learn from."""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from consumer.forecasting.global_model.base import panel
from consumer.forecasting.global_model.lgbm import fit_lgbm
from consumer.forecasting.global_model.training import training_table
from consumer.forecasting.history import History
from schemas.enums import ClasseABC, TargetType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from consumer.forecasting.global_model.base import Panel
    from consumer.forecasting.types import FloatArray

LAST = date(2026, 11, 23)
PRODUCTS = 120
WEEKS = 60
TOTAL = 10_000  # products that the rows are shared by: so few rows of each that a fit is quick


def history(volume: Sequence[float] | FloatArray, price: float = 2.0) -> History:
    values = np.array(volume, dtype=np.float64)
    return History(values, values * price)


def panel_of(volumes: Mapping[str, Sequence[float] | FloatArray], last: date = LAST) -> Panel:
    histories = [history(volume) for volume in volumes.values()]
    return panel(list(volumes), histories, [ClasseABC.B] * len(histories), last)


@lru_cache(maxsize=1)
def world() -> dict[str, FloatArray]:
    """Poisson demand of many levels, some of it rare; the first week of each is a sale."""
    rng = np.random.default_rng(5)
    found: dict[str, FloatArray] = {}
    for number in range(PRODUCTS):
        level = float(rng.gamma(2.0, 3.0)) + 0.3
        demand = rng.poisson(level, WEEKS - number % 9) * (rng.random(WEEKS - number % 9) > 0.3 * (number % 2))
        demand[0] = max(demand[0], 1)
        found[f"product-{number:03d}"] = demand.astype(np.float64)
    return found


@lru_cache(maxsize=8)
def artefact(target: TargetType = TargetType.VOLUME, held_out: int = 0, seed: int = 1) -> bytes:
    """Of a model that learned from the world, but for its last weeks."""
    table = training_table(panel_of(world()), target, products_total=TOTAL, seed=seed)
    return fit_lgbm([table], target, known_until=LAST - timedelta(weeks=held_out), seed=seed)
