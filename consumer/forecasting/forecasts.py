"""What the global models say of the products of a chunk, computed for all of them at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from consumer.forecasting.calibration import PATTERNS, Scores, calibrated, levels
from consumer.forecasting.evidence import partner, segment
from consumer.forecasting.given import DEFAULT_WEIGHT, Given
from consumer.forecasting.global_model.base import panel
from consumer.forecasting.history import for_fitting
from consumer.forecasting.types import Variant
from schemas.enums import ClasseABC, TargetType

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from consumer.forecasting.global_model.base import GlobalModel, Panel
    from consumer.forecasting.history import History
    from consumer.forecasting.trained import Trained
    from consumer.forecasting.types import FloatArray, IntArray, PlannedProduct

# Weeks between two points in time whose forecasts are scored for the calibration.
ORIGIN_STEP: Final = 4


@dataclass(frozen=True, slots=True)
class Sold:
    """A product, its usable history, and what the models see of that."""

    product: PlannedProduct
    history: History
    fitted: History

    @classmethod
    def of(cls, product: PlannedProduct, history: History) -> Self:
        """With the rules of ``for_fitting``."""
        return cls(product, history, for_fitting(history))


def uses_tft(product: PlannedProduct) -> bool:
    """Whether a TFT may have a say in a product's forecast; where it has none, it need not be loaded."""
    return Variant.TFT in product.models or (Variant.ENSEMBLE in product.models and _ensemble_takes_tft(product))


def given(
    sold: Sequence[Sold], last_week: date, horizon: int, trained: Trained, *, all_candidates: bool = False
) -> dict[str, Given]:
    """Forecast with the global models.

    Args:
        sold: Histories that end with ``last_week``, as they were read.
        all_candidates: Whether the TFT is asked also for products whose plan has no use for it.

    Returns:
        By product id.
    """
    usable = [one for one in sold if one.history.volume.size]
    if not usable or (trained.volume is None and trained.revenue is None):
        return {}
    histories, patterns = _panel(usable, last_week), _patterns(usable)
    volume = _forecast(trained.volume, TargetType.VOLUME, histories, patterns, horizon, trained)
    revenue = _forecast(trained.revenue, TargetType.FATURAMENTO, histories, patterns, horizon, trained)
    asked = [one for one in usable if all_candidates or uses_tft(one.product)]
    tft = _forecast_by_tft(asked, last_week, horizon, trained)
    weights = trained.choices.weights if trained.choices else {}
    return {
        one.product.product_id: Given(
            ({} if volume is None else {Variant.LGBM: volume[number]}) | tft.get(one.product.product_id, {}),
            None if revenue is None else revenue[number],
            partner(one.product.padrao_demanda),
            weights.get(segment(one.product), DEFAULT_WEIGHT),
            _ensemble_takes_tft(one.product),
            bool((one.history.volume == np.floor(one.history.volume)).all()),
        )
        for number, one in enumerate(usable)
    }


def scores(sold: Sequence[Sold], last_week: date, held_out: int, trained: Trained) -> dict[str, Scores]:
    """Score the global models on the last weeks, which they do not know, from several points in time.

    Args:
        sold: Histories that end with ``last_week``, the weeks held out included.
        held_out: Weeks.
    """
    result: dict[str, Scores] = {}
    usable = [one for one in sold if one.history.volume.size > held_out]
    if not usable:
        return result
    histories, patterns = _panel(usable, last_week), _patterns(usable)
    models = {TargetType.VOLUME.value: trained.volume, TargetType.FATURAMENTO.value: trained.revenue}
    for name, model in (models | {Variant.TFT.value: trained.tft}).items():
        if model is None:
            continue
        counted = result.setdefault(name, Scores())
        for weeks in range(held_out, 0, -ORIGIN_STEP):
            before = histories.without_last(weeks)
            actual = histories.target(model.target)[histories.start[1:, None] + np.arange(-weeks, 0)]
            counted.add(actual, model.predict(before, weeks), levels(before, model.target), patterns)
    return result


def _ensemble_takes_tft(product: PlannedProduct) -> bool:
    return product.classe_abc is ClasseABC.A


def _forecast_by_tft(
    sold: Sequence[Sold], last_week: date, horizon: int, trained: Trained
) -> dict[str, dict[Variant, FloatArray]]:
    if trained.tft is None or not sold:
        return {}
    histories = _panel(sold, last_week)
    quantiles = trained.tft.predict(histories, horizon)
    known, shifts = levels(histories, TargetType.VOLUME), trained.tft_shifts or {}
    found = calibrated(quantiles, known, _patterns(sold), shifts)
    return {one.product.product_id: {Variant.TFT: found[number]} for number, one in enumerate(sold)}


def _panel(sold: Sequence[Sold], last_week: date) -> Panel:
    histories = [one.fitted for one in sold]
    products = [one.product for one in sold]
    return panel([one.product_id for one in products], histories, [one.classe_abc for one in products], last_week)


def _patterns(sold: Sequence[Sold]) -> IntArray:
    return np.array([PATTERNS.index(one.product.padrao_demanda) for one in sold], dtype=np.int64)


def _forecast(
    model: GlobalModel | None,
    target: TargetType,
    histories: Panel,
    patterns: IntArray,
    horizon: int,
    trained: Trained,
) -> FloatArray | None:
    if model is None:
        return None
    shifts = trained.choices.shifts if trained.choices else {}
    # A scale-free shift of volume is a better guess for revenue than none.
    own = shifts.get(target) or shifts.get(TargetType.VOLUME) or {}
    return calibrated(model.predict(histories, horizon), levels(histories, target), patterns, own)
