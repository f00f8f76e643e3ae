"""What training has left for a predict or a backtest: global models of both targets, and the choices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from consumer.forecasting.choices import Choices, load_choices
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
    """Artefacts that were loaded; what is None was not trained, and products fall back."""

    volume: GlobalModel | None = None
    revenue: GlobalModel | None = None
    choices: Choices | None = None

    def require_known_until(self, week: date) -> None:
        """Refuse to be measured on weeks that a model has learned from.

        Raises:
            ValueError: A model knows a week after ``week``.
        """
        for model in (self.volume, self.revenue):
            if model is not None and model.known_until > week:
                raise ValueError(f"{model.variant} knows sales until {model.known_until}, {week} is the last it may")


NOTHING: Final = Trained()


def load_trained(artefacts: Mapping[str, bytes]) -> Trained:
    """Load what ``fit_model`` and ``decide`` gave, under the names ``volume``, ``revenue`` and ``choices``.

    Raises:
        UnusableArtefactError: One of them is not what this version writes, or of the wrong target.
    """
    models: dict[str, GlobalModel] = {}
    for name, target in (("volume", TargetType.VOLUME), ("revenue", TargetType.FATURAMENTO)):
        if name in artefacts:
            model = load_lgbm(artefacts[name])
            if model.target is not target:
                raise UnusableArtefactError(f"the model of {name} forecasts {model.target}, it must be {target}")
            models[name] = model
    choices = load_choices(artefacts["choices"]) if "choices" in artefacts else None
    return Trained(models.get("volume"), models.get("revenue"), choices)


def available(trained: Trained) -> frozenset[Variant]:
    """Give the variants that can be planned with what was trained."""
    return AVAILABLE if trained.volume is None else AVAILABLE | {Variant.LGBM, Variant.ENSEMBLE}
