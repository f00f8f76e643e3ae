"""LGBM: one direct quantile model of all products and all weeks ahead, stored as text and JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from consumer.forecasting.global_model.base import UnusableArtefactError
from consumer.forecasting.global_model.booster import PARAMETERS, ROUNDS, fit_boosters
from consumer.forecasting.global_model.feature_rows import latest_values
from consumer.forecasting.global_model.features import NAMES, OF_WEEK, latest_origins
from consumer.forecasting.global_model.forest import Forest
from consumer.forecasting.global_model.model_text import read
from consumer.forecasting.global_model.training import HORIZON
from consumer.forecasting.types import QUANTILES, Variant
from schemas.enums import TargetType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from consumer.forecasting.global_model.base import ArrowTable, Panel
    from consumer.forecasting.types import FloatArray

FORMAT: Final = "forecast-consumer lgbm 1"


@dataclass(frozen=True, slots=True)
class Lgbm:
    """``GlobalModel`` of five LightGBM boosters, whose trees ``Forest`` asks.

    Weeks further ahead than ``HORIZON`` get the quantiles of week ``HORIZON``: the model has not learned
    how much less sure they are.
    """

    target: TargetType
    known_until: date
    forests: tuple[Forest, ...]

    @property
    def variant(self) -> Variant:
        """LGBM."""
        return Variant.LGBM

    @property
    def parameters(self) -> Mapping[str, Any]:
        """LightGBM's parameters, the number of trees and the features."""
        return {**PARAMETERS, "rounds": ROUNDS, "horizon": HORIZON, "features": list(NAMES)}

    def predict(self, panel: Panel, horizon: int) -> FloatArray:
        """See ``GlobalModel``."""
        origins = latest_origins(panel, self.target)
        weeks = min(horizon, HORIZON)
        own, week = latest_values(panel, self.target, origins, weeks)
        scaled = np.stack([forest.sums(own, week).T for forest in self.forests], axis=-1)
        scaled = np.concatenate((scaled, np.repeat(scaled[:, -1:], horizon - weeks, axis=1)), axis=1)
        quantiles: FloatArray = np.sort(scaled, axis=-1) * origins.level[:, None, None]
        return quantiles


def fit_lgbm(tables: Iterable[ArrowTable], target: TargetType, *, known_until: date, seed: int) -> bytes:
    """Fit a model and give its artefact: the same bytes for the same rows, however they were cut into tables.

    Args:
        tables: What ``training_table`` gave for this target, of all chunks.
        known_until: Demand of later weeks is not looked at.

    Raises:
        TooFewRowsError: There is too little to learn from.
    """
    content = {
        "format": FORMAT,
        "target": target,
        "known_until": known_until.isoformat(),
        "features": NAMES,
        "quantiles": QUANTILES,
        "boosters": fit_boosters(tables, known_until, seed),
    }
    return json.dumps(content, sort_keys=True).encode()


def load_lgbm(artefact: bytes) -> Lgbm:
    """Read what ``fit_lgbm`` wrote. Nothing in it can run code.

    Raises:
        UnusableArtefactError: It is not JSON, of another version, incomplete, or a booster is no model.
    """
    content = _content(artefact)
    expected = {"format": FORMAT, "features": list(NAMES), "quantiles": list(QUANTILES)}
    for name, value in expected.items():
        if content.get(name) != value:
            found = str(content.get(name))[:80]
            raise UnusableArtefactError(f"{name} is {found!r}, this version reads {str(value)[:80]!r}")
    try:
        target, known_until = TargetType(content["target"]), date.fromisoformat(content["known_until"])
    except (KeyError, TypeError, ValueError) as error:
        raise UnusableArtefactError(f"target or known_until: {error}") from error
    texts = content.get("boosters")
    if not isinstance(texts, list) or len(texts) != len(QUANTILES):
        raise UnusableArtefactError("it must have five boosters, one a quantile")
    return Lgbm(target, known_until, tuple(_forest(text) for text in texts))


def _content(artefact: bytes) -> dict[str, Any]:
    try:
        content = json.loads(artefact)
    except (ValueError, RecursionError) as error:
        raise UnusableArtefactError(f"not JSON: {error}"[:200]) from error
    if not isinstance(content, dict):
        raise UnusableArtefactError("not a JSON object")
    return content


def _forest(text: object) -> Forest:
    try:
        return Forest(read(text, len(NAMES)), len(NAMES) - len(OF_WEEK), len(OF_WEEK))
    except ValueError as error:
        raise UnusableArtefactError(f"a booster cannot be read: {error}") from error
