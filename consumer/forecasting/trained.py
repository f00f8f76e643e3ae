"""What training has left for a predict or a backtest: global models of both targets, and the choices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from consumer.forecasting.choices import Choices, load_choices
from consumer.forecasting.global_model import tft
from consumer.forecasting.global_model.base import UnusableArtefactError
from consumer.forecasting.global_model.lgbm import load_lgbm
from consumer.forecasting.selection import AVAILABLE
from consumer.forecasting.types import Variant
from schemas.enums import TargetType

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from consumer.forecasting.global_model.base import GlobalModel


@dataclass(frozen=True, slots=True)
class Trained:
    """Artefacts that were loaded; what is None was not trained, and products fall back.

    Attributes:
        tft: Of volume.
        tft_shifts: By pattern, what calibrates it, see ``calibration.calibrated``.
    """

    volume: GlobalModel | None = None
    revenue: GlobalModel | None = None
    choices: Choices | None = None
    tft: GlobalModel | None = None
    tft_shifts: Mapping[str, list[float]] | None = None

    def require_known_until(self, week: date) -> None:
        """Refuse to be measured on weeks that a model has learned from.

        Raises:
            ValueError: A model knows a week after ``week``.
        """
        for model in (self.volume, self.revenue, self.tft):
            if model is not None and model.known_until > week:
                raise ValueError(f"{model.variant} knows sales until {model.known_until}, {week} is the last it may")


NOTHING: Final = Trained()


def load_trained(artefacts: Mapping[str, bytes]) -> Trained:
    """Load what ``fit_model`` and ``decide`` gave.

    Args:
        artefacts: ``volume``, ``revenue`` and ``choices``; ``tft``, and ``tft_choices`` where the TFT is of another
            train than these.

    Raises:
        UnusableArtefactError: One of them is not what this version writes, or of the wrong target.
    """
    models: dict[str, GlobalModel] = {}
    for name, target in (("volume", TargetType.VOLUME), ("revenue", TargetType.FATURAMENTO)):
        if name in artefacts:
            models[name] = _of(target, name, load_lgbm(artefacts[name]))
    if "tft" in artefacts:
        models["tft"] = _of(TargetType.VOLUME, "tft", tft.load_tft(artefacts["tft"]))
    choices = load_choices(artefacts["choices"]) if "choices" in artefacts else None
    of_tft = load_choices(artefacts["tft_choices"]) if "tft_choices" in artefacts else choices
    shifts = None if of_tft is None or of_tft.tft is None else of_tft.tft.shifts
    return Trained(models.get("volume"), models.get("revenue"), choices, models.get("tft"), shifts)


def _of(target: TargetType, name: str, model: GlobalModel) -> GlobalModel:
    if model.target is not target:
        raise UnusableArtefactError(f"the model of {name} forecasts {model.target}, it must be {target}")
    return model


def available(trained: Trained) -> frozenset[Variant]:
    """Give the variants that can be planned with what was trained."""
    if trained.volume is None:
        return AVAILABLE
    return AVAILABLE | {Variant.LGBM, Variant.ENSEMBLE} | ({Variant.TFT} if trained.tft is not None else set())
