"""The same libraries used directly: a model of statsforecast on each product, its own intervals, nothing else."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from accuracy.sales import HOLDOUT_WEEKS
from consumer.forecasting.types import QUANTILES

if TYPE_CHECKING:
    from consumer.forecasting.types import FloatArray

AVERAGE_WEEKS: Final = 12
# With arguments where statsforecast has no defaults; TSB's are those that the engine's own TSB has.
MODELS: Final[dict[str, dict[str, float]]] = {
    "AutoETS": {"season_length": 1},
    "TSB": {"alpha_d": 0.2, "alpha_p": 0.2},
    "ADIDA": {},
    "IMAPA": {},
    "CrostonOptimized": {},
}
BASELINE: Final[dict[str, dict[str, float]]] = {"WindowAverage": {"window_size": AVERAGE_WEEKS}}
_OWN_INTERVALS: Final = ("AutoETS",)
_WINDOWS: Final = 2
_COLUMNS: Final = ("lo-80", "lo-50", "mean", "hi-50", "hi-80")


def forecast(request: tuple[str, tuple[FloatArray, ...]]) -> FloatArray:
    """Forecast histories with one model, by its name.

    AutoETS has intervals of its own. The others get statsforecast's conformal intervals, over two windows; a
    history that is too short for these has its point forecast for all quantiles, and one that is too short
    for the model itself its last value.

    Returns:
        ``(n, HOLDOUT_WEEKS, 5)`` units, as the library gives them: they may be negative.
    """
    name, histories = request
    library: Any = import_module("statsforecast.models")
    arguments = {**MODELS, **BASELINE}[name]
    intervals: Any = None
    if name not in _OWN_INTERVALS:
        intervals = import_module("statsforecast.utils").ConformalIntervals(n_windows=_WINDOWS, h=HOLDOUT_WEEKS)
    result = np.empty((len(histories), HOLDOUT_WEEKS, len(QUANTILES)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, history in enumerate(histories):
            if name in BASELINE:
                arguments = {"window_size": min(AVERAGE_WEEKS, history.size)}
            model = getattr(library, name)(**arguments)
            if intervals is not None and history.size > _WINDOWS * HOLDOUT_WEEKS:
                model = getattr(library, name)(**arguments, prediction_intervals=intervals)
            result[number] = _one(model, history, bands=name in _OWN_INTERVALS or model.prediction_intervals)
    return result


def _one(model: Any, history: FloatArray, *, bands: bool) -> FloatArray:
    try:
        found = model.forecast(history, HOLDOUT_WEEKS, **({"level": [50, 80]} if bands else {}))
    except Exception:  # noqa: BLE001 - too short for the model, which each says in its own way
        return np.full((HOLDOUT_WEEKS, len(QUANTILES)), history[-1])
    columns = [found.get(column, found["mean"]) for column in _COLUMNS]
    # A window that the conformal intervals were to be taken from was too short for the model.
    return np.column_stack([np.where(np.isfinite(column), column, found["mean"]) for column in columns])
