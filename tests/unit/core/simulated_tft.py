"""A simulated TFT at the place where the domain calls the real one: everything around it is testable without torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from consumer.forecasting import versions
from consumer.forecasting.global_model import tft
from consumer.forecasting.global_model.base import UnusableArtefactError
from consumer.forecasting.global_model.series import stacked
from consumer.forecasting.types import Variant
from schemas.enums import TargetType

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

    from consumer.forecasting.global_model.base import ArrowTable, Panel
    from consumer.forecasting.types import FloatArray

BAND = np.array([0.5, 0.8, 1.0, 1.2, 1.5])  # quantiles in multiples of the mean of all weeks


@dataclass(frozen=True)
class SimulatedTft:
    """``GlobalModel`` that forecasts the mean so far."""

    target: TargetType
    known_until: date

    @property
    def variant(self) -> Variant:
        return Variant.TFT

    @property
    def parameters(self) -> dict[str, Any]:
        return {"simulated": True}

    def predict(self, panel: Panel, horizon: int) -> FloatArray:
        values = panel.target(self.target)
        means = np.array([values[a:b].mean() for a, b in zip(panel.start[:-1], panel.start[1:], strict=True)])
        found: FloatArray = np.repeat(means[:, None, None] * BAND, horizon, axis=1)
        return found


def fit_simulated_tft(tables: Iterable[ArrowTable], target: TargetType, *, known_until: date, seed: int) -> bytes:
    """As ``fit_tft``: the same bytes for the same series, and no model where there are too few."""
    learned = stacked(tables, known_until, least_weeks=tft.HORIZON + 1).values.sum()
    about = {"simulated": True, "target": target, "known_until": str(known_until), "seed": seed, "learned": learned}
    return json.dumps(about).encode()


def load_simulated_tft(artefact: bytes) -> SimulatedTft:
    try:
        about = json.loads(artefact)
        return SimulatedTft(TargetType(about["target"]), date.fromisoformat(about["known_until"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UnusableArtefactError(f"no simulated TFT: {error}") from error


def put_simulated_tft(monkeypatch: pytest.MonkeyPatch) -> None:
    """Act as if the extra were installed, with the simulated network in it."""
    monkeypatch.setattr(tft, "fit_tft", fit_simulated_tft)
    monkeypatch.setattr(tft, "load_tft", load_simulated_tft)
    monkeypatch.setattr(versions, "_OF_TFT", ("numpy",))
