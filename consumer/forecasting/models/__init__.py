"""The models of a single product, by the name that planners see."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from consumer.forecasting.models.bootstrap import Bootstrap
from consumer.forecasting.models.ets import AutoEts, SimpleEts
from consumer.forecasting.models.intermittent import Intermittent
from consumer.forecasting.models.simple import MovingAverage, Naive
from consumer.forecasting.types import Variant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from consumer.forecasting.models.base import LocalModel

LOCAL_MODELS: Final[Mapping[Variant, LocalModel]] = MappingProxyType(
    {
        Variant.AUTO_ETS: AutoEts(),
        Variant.SIMPLE_ETS: SimpleEts(),
        Variant.CROSTON: Intermittent("CrostonOptimized"),
        Variant.SBA: Intermittent("CrostonSBA"),
        Variant.TSB: Intermittent("TSB", {"alpha_d": 0.2, "alpha_p": 0.2}),
        Variant.BOOTSTRAP: Bootstrap(),
        Variant.NAIVE: Naive(),
        Variant.MOVING_AVERAGE_12: MovingAverage(),
    }
)
