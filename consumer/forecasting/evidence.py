"""How every candidate would have done on the last known weeks: what ``choices.decide`` chooses by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from consumer.forecasting.backtesting import Sums, add, error_sums
from consumer.forecasting.calibration import Scores
from consumer.forecasting.quantiles import SHORT_WEEKS
from consumer.forecasting.types import QUANTILES, Variant
from schemas.enums import PadraoDemanda

if TYPE_CHECKING:
    from collections.abc import Mapping

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
ENSEMBLES: Final = {f"{Variant.ENSEMBLE} {weight}": weight for weight in WEIGHTS}
CANDIDATES: Final = (Variant.LGBM.value, *ENSEMBLES, *(variant.value for variant in LOCAL_CANDIDATES))
ENSEMBLE_WITH_TFT: Final = f"{Variant.ENSEMBLE} {Variant.TFT}"
TFT_CANDIDATES: Final = (Variant.TFT.value, ENSEMBLE_WITH_TFT)  # where there is one: behind the others
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
    """Of the products of a chunk. Sums are whole numbers, so that they add up exactly in any order.

    Attributes:
        tft: Whether there is a TFT to be measured, the same in all chunks of a train.
        losses: By segment, the number of products and then for each candidate the sum of their losses, in
            thousandths of a product's scale.
        measured: By segment, of every candidate.
        scores: By target, and of the TFT, which forecasts volume alone, under its own name.
    """

    tft: bool = False
    losses: dict[str, list[int]] = field(default_factory=dict)
    measured: dict[str, dict[str, Sums]] = field(default_factory=dict)
    scores: dict[str, Scores] = field(default_factory=dict)

    @property
    def candidates(self) -> tuple[str, ...]:
        """What is measured; the order of ``losses``."""
        return (*CANDIDATES, *TFT_CANDIDATES) if self.tft else CANDIDATES

    def measure(
        self, product: PlannedProduct, known: FloatArray, actual: FloatArray, forecasts: Mapping[str, FloatArray]
    ) -> None:
        """Add a product. A candidate that has no forecast counts as the worst of those that have.

        Args:
            known: ``(weeks,)`` units, what the models saw.
            actual: ``(horizon,)`` units.
            forecasts: ``(horizon, 5)`` by candidate.
        """
        measured = self.measured.setdefault(segment(product), {})
        for name, quantiles in forecasts.items():
            add(measured.setdefault(name, {}), error_sums(actual, quantiles))
        unit = scale(known)
        if not unit or known.size < SHORT_WEEKS or not forecasts:
            return
        losses = {name: float(pinball(actual, one).mean()) / unit for name, one in forecasts.items()}
        worst = max(losses.values())
        found = [min(round(losses.get(name, worst) * _UNIT), _LARGEST) for name in self.candidates]
        self._add(segment(product), [1, *found])

    def to_json(self) -> dict[str, object]:
        """The form in ``ChunkResult.summary``."""
        scores = {target: scores.to_json() for target, scores in self.scores.items()}
        return {"tft": self.tft, "losses": self.losses, "measured": self.measured, "scores": scores}

    def add_json(self, value: Mapping[str, Any]) -> None:
        """Add what ``to_json`` wrote."""
        self.tft = value["tft"]
        for name, losses in value["losses"].items():
            self._add(name, losses)
        for name, candidates in value["measured"].items():
            for candidate, sums in candidates.items():
                add(self.measured.setdefault(name, {}).setdefault(candidate, {}), sums)
        for target, counts in value["scores"].items():
            self.scores.setdefault(target, Scores()).add_json(counts)

    def mean_losses(self, name: str, fewest: int) -> dict[str, float]:
        """Mean loss of each candidate in a segment; in all of its pattern or in all segments if it has too few."""
        pattern = name.partition("/")[0]
        for part in (name, f"{pattern}/", ""):
            sums = np.sum([losses for key, losses in self.losses.items() if key.startswith(part)] or [[0]], axis=0)
            if sums[0] >= fewest:
                break
        if not sums[0]:
            return {}
        means = sums[1:] / (sums[0] * _UNIT)
        return {candidate: round(float(mean), 6) for candidate, mean in zip(self.candidates, means, strict=True)}

    def _add(self, name: str, losses: list[int]) -> None:
        so_far = self.losses.get(name, [0] * len(losses))
        self.losses[name] = [one + other for one, other in zip(so_far, losses, strict=True)]


def segment(product: PlannedProduct) -> str:
    """Products that are judged together: of one pattern and one revenue class."""
    return f"{product.padrao_demanda}/{product.classe_abc}"
