"""One product through its models, in order, until one gives a forecast that can be believed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import numpy as np

from consumer.forecasting.calibration import in_units
from consumer.forecasting.evidence import CANDIDATES, ENSEMBLE_WITH_TFT, ENSEMBLES, TFT_CANDIDATES
from consumer.forecasting.given import NOTHING_GIVEN
from consumer.forecasting.history import ENDED
from consumer.forecasting.models import LOCAL_MODELS
from consumer.forecasting.types import Variant

if TYPE_CHECKING:
    from consumer.forecasting.given import Given
    from consumer.forecasting.history import History
    from consumer.forecasting.types import FloatArray

BLOW_UP_RATIO: Final = 10.0
LIMIT: Final = 1e10  # numeric(14,4) holds less
DECIMALS: Final = 4
TFT_SHARE: Final = 0.6

_NOT_FINITE: Final = "not finite"
_BLOWN_UP: Final = f"more than {BLOW_UP_RATIO:g} times the largest week"
_TOO_LARGE: Final = "too large to store"


class NotTrainedError(Exception):
    """A model needs training, and there was none."""


class AllModelsFailedError(Exception):
    """No model of a product's plan gave a forecast; the message says what each did."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A forecast that was taken.

    Attributes:
        quantiles: ``(horizon, 5)`` units, tidy, rounded as the database keeps them.
        fallback: Why a later model than the first was taken; None if the first was.
    """

    variant: Variant
    quantiles: FloatArray
    fallback: str | None = None


def fit_first(
    models: tuple[Variant, ...], history: History, horizon: int, seed: int, given: Given = NOTHING_GIVEN
) -> Fit:
    """Forecast with the first model that works.

    A product without demand for half a year goes to TSB first, whatever was planned: of all models it is the
    one made for demand that may have ended.

    Args:
        models: Planned models, first choice first.
        history: What the models see, at least one week.
        horizon: Weeks ahead.
        seed: Of this product.
        given: What the global models said of it.

    Raises:
        AllModelsFailedError: Every model raised, or gave numbers that are not finite, absurd or too large.
    """
    problems: list[str] = []
    if ENDED in history.notes and models[:1] != (Variant.TSB,):
        problems.append("demand has ended")
        models = (Variant.TSB, *models)
    for variant in models:
        quantiles, problem = forecast(variant, history.volume, horizon, seed, given)
        if problem is None:
            return Fit(variant, quantiles, "; ".join(problems) or None)
        problems.append(f"{variant} failed ({problem})")
    raise AllModelsFailedError("; ".join(problems) or "no model was planned")


def candidates(history: FloatArray, horizon: int, seed: int, given: Given) -> dict[str, FloatArray]:
    """Forecast with every candidate of ``evidence``, those of the TFT if there is one; those that fail are left out."""
    found: dict[str, FloatArray] = {}
    for name in (*CANDIDATES, *(TFT_CANDIDATES if Variant.TFT in given.quantiles else ())):
        variant = Variant(name.partition(" ")[0])
        using = replace(given, with_tft=name == ENSEMBLE_WITH_TFT, weight=ENSEMBLES.get(name, given.weight))
        quantiles, problem = forecast(variant, history, horizon, seed, using)
        if problem is None:
            found[name] = quantiles
    return found


def product_seed(seed: int, product_id: str) -> int:
    """Derive a product's own seed, the same in every process and whatever else is computed beside it."""
    return int.from_bytes(blake2b(f"{seed}:{product_id}".encode(), digest_size=8).digest())


def forecast(
    variant: Variant, history: FloatArray, horizon: int, seed: int, given: Given = NOTHING_GIVEN
) -> tuple[FloatArray, str | None]:
    """Forecast with one model; the quantiles, and what is wrong with them, None if nothing is."""
    nothing = np.empty((horizon, 0))
    try:
        quantiles = _quantiles(variant, history, horizon, seed, given)
    except NotTrainedError:
        return nothing, "not trained"
    except Exception as error:  # noqa: BLE001 - a library may raise anything; the next model is the answer
        return nothing, type(error).__name__
    return np.round(quantiles, DECIMALS), _implausible(quantiles, history)


def _quantiles(variant: Variant, history: FloatArray, horizon: int, seed: int, given: Given) -> FloatArray:
    if variant in given.quantiles:
        return given.quantiles[variant]
    if variant in LOCAL_MODELS:
        return LOCAL_MODELS[variant].fit_predict(history, horizon, seed)
    if variant is Variant.ENSEMBLE and Variant.LGBM in given.quantiles:
        return _ensemble(history, horizon, seed, given)
    raise NotTrainedError


def _ensemble(history: FloatArray, horizon: int, seed: int, given: Given) -> FloatArray:
    """Average each quantile: a band between those of its parts, where a mixture would be wider than both."""
    lgbm, weight = given.quantiles[Variant.LGBM], given.weight
    if given.with_tft and Variant.TFT in given.quantiles:
        other, weight = given.quantiles[Variant.TFT], 1 - TFT_SHARE
    else:
        other = LOCAL_MODELS[given.partner].fit_predict(history, horizon, seed)
    mean = weight * lgbm + (1 - weight) * other
    return in_units(mean, np.array(given.whole))


def _implausible(quantiles: FloatArray, history: FloatArray) -> str | None:
    if not np.isfinite(quantiles).all():
        return _NOT_FINITE
    largest = float(quantiles.max())
    if largest > BLOW_UP_RATIO * float(history.max()):
        return _BLOWN_UP
    return _TOO_LARGE if largest >= LIMIT - 1 else None
