"""How every candidate would have done on the last known weeks: what ``choices.decide`` chooses by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from consumer.forecasting.backtesting import Sums, add, error_sums
from consumer.forecasting.quantiles import SHORT_WEEKS
from consumer.forecasting.types import QUANTILES, Variant
from schemas.enums import PadraoDemanda, TargetType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from consumer.forecasting.calibration import Scores
    from consumer.forecasting.types import FloatArray, PlannedProduct

LOCAL_CANDIDATES: Final = (
    Variant.AUTO_ETS,
    Variant.SIMPLE_ETS,
    Variant.CROSTON,
    Variant.SBA,
    Variant.TSB,
    Variant.MOVING_AVERAGE_12,
)
WEIGHTS: Final = (0.5, 0.7, 0.9)  # of LGBM in the ensemble
CANDIDATES: Final = (Variant.LGBM.value, *(f"ENSEMBLE {weight}" for weight in WEIGHTS), *LOCAL_CANDIDATES)
HALVES: Final = 2
_UNIT: Final = 1000
_LARGEST: Final = 10**9


def partner(pattern: PadraoDemanda) -> Variant:
    """Give the model of a single product that is averaged with LGBM: the table's for the pattern."""
    return Variant.AUTO_ETS if pattern in (PadraoDemanda.REGULAR, PadraoDemanda.ERRATICO) else Variant.TSB


def scale(known: FloatArray) -> float:
    """Mean absolute change from week to week, what losses are divided by (Hyndman and Koehler 2006); 0 if none."""
    return float(np.abs(np.diff(known)).mean()) if known.size > 1 else 0.0


def pinball(actual: FloatArray, quantiles: FloatArray) -> FloatArray:
    """Twice the pinball loss of each week, mean over the quantiles; at p50 that is the absolute error."""
    deviation = actual[:, None] - quantiles
    levels = np.array(QUANTILES)
    loss: FloatArray = 2 * np.maximum(levels * deviation, (levels - 1) * deviation).mean(axis=1)
    return loss


@dataclass(slots=True)
class Evidence:
    """Of the products of a chunk.

    Attributes:
        rows: Product id, its segment, and the loss of each candidate in the first and the second half of the
            weeks, in thousandths of the product's scale.
        measured: Of every candidate, over all products.
        scores: By target.
    """

    rows: list[list[Any]] = field(default_factory=list)
    measured: dict[str, Sums] = field(default_factory=dict)
    scores: dict[TargetType, Scores] = field(default_factory=dict)

    def measure(
        self, product: PlannedProduct, known: FloatArray, actual: FloatArray, forecasts: Mapping[str, FloatArray]
    ) -> None:
        """Add a product; candidates that have no forecast count as if they had forecast what the worst did.

        Args:
            known: ``(weeks,)`` units, what the models saw.
            actual: ``(horizon,)`` units.
            forecasts: ``(horizon, 5)`` by candidate.
        """
        for name, quantiles in forecasts.items():
            add(self.measured.setdefault(name, {}), error_sums(actual, quantiles))
        unit = scale(known)
        if not unit or known.size < SHORT_WEEKS or actual.size < HALVES:
            return
        losses = {name: _halves(pinball(actual, quantiles) / unit) for name, quantiles in forecasts.items()}
        worst = np.max(list(losses.values()), axis=0)
        values = np.concatenate([losses.get(name, worst) for name in CANDIDATES])
        whole = np.minimum(np.round(values * _UNIT), _LARGEST).astype(np.int64)
        self.rows.append([product.product_id, segment(product), whole.tolist()])

    def to_json(self) -> dict[str, object]:
        """The form in ``ChunkResult.summary``."""
        scores = {target: scores.to_json() for target, scores in self.scores.items()}
        return {"candidates": CANDIDATES, "products": self.rows, "measured": self.measured, "scores": scores}


def segment(product: PlannedProduct) -> str:
    """Products that are judged together: of one pattern and one revenue class."""
    return f"{product.padrao_demanda}/{product.classe_abc}"


def _halves(loss: FloatArray) -> FloatArray:
    middle = loss.size // HALVES
    return np.array([loss[:middle].mean(), loss[middle:].mean()])
