"""What every model of a single product looks like."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from consumer.forecasting.types import FloatArray


class LocalModel(Protocol):
    """A model that is fitted to one product's own history."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What ``forecast_modelo.parametros`` records of it. JSON."""
        ...

    def fit_predict(self, history: FloatArray, horizon: int, seed: int) -> FloatArray:
        """Fit and forecast.

        Args:
            history: ``(weeks,)`` units, gapless, not negative, at least one week.
            horizon: Weeks ahead.
            seed: Of everything random in it; two calls with the same arguments give the same numbers.

        Returns:
            ``(horizon, 5)`` units, tidy; the caller checks that they are finite and plausible.

        Raises:
            Exception: Whatever the library raises; the caller goes on with the next model.
        """
        ...


def library() -> Any:
    """Give statsforecast's models, loaded by first use: that takes seconds, and planning needs none."""
    return import_module("statsforecast.models")
