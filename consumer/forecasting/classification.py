"""Classes of a product that the backend has not classified: computed for one execution, never stored."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Final

import numpy as np

from consumer.forecasting.gapless import histories
from schemas.enums import ClasseABC, ClasseXYZ, PadraoDemanda

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    import numpy.typing as npt

    from consumer.forecasting.types import FloatArray, WeeklySales

A_SHARE: Final = 0.80
B_SHARE: Final = 0.95
X_LIMIT: Final = 0.5
Y_LIMIT: Final = 1.0
ZERO_SHARE_LIMIT: Final = 0.25
CV_SQUARED_LIMIT: Final = 0.49
WINDOW_WEEKS: Final = 52


@dataclass(frozen=True, slots=True)
class DemandShape:
    """How regular a product's demand is."""

    classe_xyz: ClasseXYZ
    padrao_demanda: PadraoDemanda


# By whether it is seldom sold, and whether what is then sold varies.
_PATTERNS: Final = {
    (False, False): PadraoDemanda.REGULAR,
    (False, True): PadraoDemanda.ERRATICO,
    (True, False): PadraoDemanda.INTERMITENTE,
    (True, True): PadraoDemanda.LUMPY,
}
UNKNOWN_SHAPE: Final = DemandShape(ClasseXYZ.Z, PadraoDemanda.LUMPY)


def abc_classes(revenue: Mapping[str, float]) -> dict[str, ClasseABC]:
    """Classify products by their share of revenue, largest first, ties by id.

    A product is A while the share of those before it is below 80 %, B below 95 %, then C; one without
    positive revenue is C.

    Args:
        revenue: Money of each product over the same weeks.
    """
    # PostgreSQL's numeric can hold NaN; one product's must not spoil the shares of all.
    counted = {name: max(value, 0.0) if isfinite(value) else 0.0 for name, value in revenue.items()}
    total = sum(counted.values())
    classes: dict[str, ClasseABC] = {}
    before = 0.0
    for product_id in sorted(counted, key=lambda name: (-counted[name], name)):
        value = counted[product_id]
        share = before / total if value else 1.0
        upper = ClasseABC.A if share < A_SHARE else ClasseABC.B
        classes[product_id] = upper if share < B_SHARE else ClasseABC.C
        before += value
    return classes


def demand_shapes(sales: WeeklySales, as_of: date) -> dict[str, DemandShape]:
    """Classify each product by its history up to ``as_of``; unreadable rows give the unknown shape."""
    found = histories(sales, as_of)
    shapes = shapes_of([history.volume for history in found.usable.values()])
    return dict.fromkeys(found.refused, UNKNOWN_SHAPE) | dict(zip(found.usable, shapes, strict=True))


def shapes_of(volumes: Sequence[FloatArray]) -> list[DemandShape]:
    """Classify the last 52 weeks of gapless histories.

    XYZ by the coefficient of variation of weekly volume, zeros included: X to 0.5, Y to 1.0, Z above (the
    limits that XYZ analysis commonly takes). The pattern after Syntetos, Boylan and Croston (2005), "On the
    categorization of demand patterns": the squared coefficient of variation of the weeks with demand, limit
    0.49, and the share of weeks without, limit 25 % (their mean interval of 1.32 is a share of 24 %).

    Args:
        volumes: ``(weeks,)`` units each, not negative.
    """
    weeks = np.array([min(volume.size, WINDOW_WEEKS) for volume in volumes], dtype=np.int64)
    recent = np.zeros((len(volumes), WINDOW_WEEKS))
    for number, volume in enumerate(volumes):
        recent[number, : weeks[number]] = volume[-WINDOW_WEEKS:]
    sold = recent > 0
    known = np.arange(WINDOW_WEEKS) < weeks[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):  # a product without a sale, whose shape is unknown
        erratic = np.greater(_variation(recent, sold) ** 2, CV_SQUARED_LIMIT)
        seldom = np.greater(1 - sold.sum(axis=1) / weeks, ZERO_SHARE_LIMIT)
        # One week says nothing about regularity, so the product is not called steady.
        variation = np.where(weeks > 1, _variation(recent, known), np.inf)
    answers = (column.tolist() for column in (sold.any(axis=1), variation, seldom, erratic))
    return [
        DemandShape(_xyz(varies), _PATTERNS[rarely, wildly]) if sells else UNKNOWN_SHAPE
        for sells, varies, rarely, wildly in zip(*answers, strict=True)
    ]


def _xyz(variation: float) -> ClasseXYZ:
    return ClasseXYZ.X if variation <= X_LIMIT else ClasseXYZ.Y if variation <= Y_LIMIT else ClasseXYZ.Z


def _variation(values: FloatArray, counted: npt.NDArray[np.bool_]) -> FloatArray:
    """Standard deviation by mean of the values of each row that count; those that do not are zero."""
    count = counted.sum(axis=1)
    mean = values.sum(axis=1) / count
    away = np.where(counted, values - mean[:, None], 0.0)
    variation: FloatArray = np.sqrt((away * away).sum(axis=1) / count) / mean
    return variation
