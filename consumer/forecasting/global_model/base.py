"""What every model of all products looks like, and what it is given."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from schemas.enums import TargetType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from consumer.forecasting.history import History
    from consumer.forecasting.types import FloatArray, IntArray, Variant
    from schemas.enums import ClasseABC


ArrowTable: TypeAlias = Any  # pyarrow ships no types


class UnusableArtefactError(ValueError):
    """A stored model is not what this service writes; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Panel:
    """Histories of n products, one after the other, that all end in the same week.

    Attributes:
        product_ids: The n products.
        start: ``(n + 1,)`` where each history begins in the arrays of weeks, and the end of the last.
        volume: ``(weeks of all,)`` units, the first week of each product above zero.
        revenue: ``(weeks of all,)`` money, not negative.
        abc: ``(n,)`` 0 for class A, 1 for B, 2 for C.
        last_week: The Monday of the newest week.
    """

    product_ids: tuple[str, ...]
    start: IntArray
    volume: FloatArray
    revenue: FloatArray
    abc: IntArray
    last_week: date

    def target(self, target: TargetType) -> FloatArray:
        """Give the weeks of what is forecast."""
        return self.volume if target is TargetType.VOLUME else self.revenue

    def without_last(self, weeks: int) -> Panel:
        """Give the same products as they were some weeks ago; those that were not sold yet are left out."""
        lengths = np.diff(self.start) - weeks
        kept = np.flatnonzero(lengths > 0)
        weeks_kept = np.concatenate(
            [np.arange(0), *(np.arange(self.start[at], self.start[at + 1] - weeks) for at in kept)]
        ).astype(np.int64)
        return Panel(
            tuple(self.product_ids[at] for at in kept),
            np.concatenate(([0], np.cumsum(lengths[kept]))).astype(np.int64),
            self.volume[weeks_kept],
            self.revenue[weeks_kept],
            self.abc[kept],
            self.last_week - timedelta(weeks=weeks),
        )


class GlobalModel(Protocol):
    """A model that was fitted to many products and forecasts any of them."""

    @property
    def variant(self) -> Variant:
        """The name that planners see."""
        ...

    @property
    def target(self) -> TargetType:
        """What it forecasts."""
        ...

    @property
    def known_until(self) -> date:
        """The newest week that it has learned from; measuring it on that week or an earlier one is cheating."""
        ...

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What ``forecast_modelo.parametros`` records of it. JSON."""
        ...

    def predict(self, panel: Panel, horizon: int) -> FloatArray:
        """Forecast the weeks after the panel's last.

        Returns:
            ``(n, horizon, 5)`` units or money, in order but not calibrated: they may be below zero, see
            ``calibration.calibrated``. A product's numbers do not depend on the others.
        """
        ...


def panel(
    product_ids: Sequence[str], histories: Sequence[History], classes: Sequence[ClasseABC], last_week: date
) -> Panel:
    """Put histories together; each must have at least one week, see ``history.for_fitting``."""
    lengths = [history.volume.size for history in histories]
    empty = np.empty(0)
    return Panel(
        tuple(product_ids),
        np.concatenate(([0], np.cumsum(lengths, dtype=np.int64))).astype(np.int64),
        np.concatenate([empty, *(history.volume for history in histories)]),
        np.maximum(np.concatenate([empty, *(history.revenue for history in histories)]), 0.0),
        np.array(["ABC".index(abc) for abc in classes], dtype=np.int64),
        last_week,
    )
