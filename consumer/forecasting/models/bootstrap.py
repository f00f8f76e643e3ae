"""Demand in rare and uneven lumps.

After Willemain, Smart and Schwarz (2004), "A new approach to forecasting intermittent demand for service
parts inventories".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from consumer.forecasting.quantiles import tidy
from consumer.forecasting.types import QUANTILES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from consumer.forecasting.types import FloatArray

PATHS: Final = 500


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Paths of a two-state Markov chain (demand, none), sizes drawn from past demand.

    statsforecast has no such model. The paper's jitter of the sizes is left out: it makes units that were
    never sold in such numbers, and the quantiles of 500 paths are smooth enough.
    """

    @property
    def parameters(self) -> Mapping[str, Any]:
        """How many paths."""
        return {"paths": PATHS}

    def fit_predict(self, history: FloatArray, horizon: int, seed: int) -> FloatArray:
        """See ``LocalModel``."""
        rng = np.random.default_rng(seed)
        sold = history > 0
        chances = _transitions(sold)
        sizes = history[sold] if sold.any() else np.zeros(1)
        state = np.full(PATHS, int(sold[-1]))
        demand = np.empty((PATHS, horizon))
        for week in range(horizon):
            state = (rng.random(PATHS) < chances[state]).astype(np.int64)
            demand[:, week] = state * rng.choice(sizes, PATHS)
        return tidy(np.quantile(demand, QUANTILES, axis=0).T)


def _transitions(sold: np.typing.NDArray[np.bool_]) -> FloatArray:
    """Give the chance of demand after a week without and after a week with demand, by Laplace's rule."""
    before, after = sold[:-1], sold[1:]
    return np.array(
        [(np.sum(after & (before == state)) + 1) / (np.sum(before == state) + 2) for state in (False, True)]
    )
