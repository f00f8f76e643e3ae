"""What is known of a product before its own models run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from consumer.forecasting.types import Variant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from consumer.forecasting.types import FloatArray

DEFAULT_WEIGHT: Final = 0.7


@dataclass(frozen=True, slots=True)
class Given:
    """Forecasts of the global models, and what the ensemble needs besides.

    Attributes:
        quantiles: ``(horizon, 5)`` units, tidy, of the global models.
        direct_revenue: ``(horizon, 5)`` money, tidy; None where no model of revenue was trained.
        partner: What the ensemble averages with LGBM where it does not take the TFT.
        weight: Of LGBM there.
        with_tft: Whether the ensemble takes the TFT, if ``quantiles`` has it.
        whole: Whether only whole units were ever sold.
    """

    quantiles: Mapping[Variant, FloatArray] = field(default_factory=dict)
    direct_revenue: FloatArray | None = None
    partner: Variant = Variant.TSB
    weight: float = DEFAULT_WEIGHT
    with_tft: bool = False
    whole: bool = False


NOTHING_GIVEN: Final = Given()
