"""Classes of a product that the backend has not classified: computed for one execution, never stored."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Final

import numpy as np

from consumer.forecasting.history import InvalidSalesError, gapless, rows_by_product
from schemas.enums import ClasseABC, ClasseXYZ, PadraoDemanda

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

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


def demand_shape(volume: FloatArray) -> DemandShape:
    """Classify the last 52 weeks of a gapless history.

    XYZ by the coefficient of variation of weekly volume, zeros included: X to 0.5, Y to 1.0, Z above (the
    limits that XYZ analysis commonly takes). The pattern after Syntetos, Boylan and Croston (2005), "On the
    categorization of demand patterns": the squared coefficient of variation of the weeks with demand, limit
    0.49, and the share of weeks without, limit 25 % (their mean interval of 1.32 is a share of 24 %).

    Args:
        volume: ``(weeks,)`` units, not negative.
    """
    recent = volume[-WINDOW_WEEKS:]
    sizes = recent[recent > 0]
    if not sizes.size:
        return UNKNOWN_SHAPE
    erratic = (_variation(sizes) ** 2) > CV_SQUARED_LIMIT
    if 1 - sizes.size / recent.size > ZERO_SHARE_LIMIT:
        pattern = PadraoDemanda.LUMPY if erratic else PadraoDemanda.INTERMITENTE
    else:
        pattern = PadraoDemanda.ERRATICO if erratic else PadraoDemanda.REGULAR
    # One week says nothing about regularity, so the product is not called steady.
    variation = _variation(recent) if recent.size > 1 else np.inf
    xyz = ClasseXYZ.X if variation <= X_LIMIT else ClasseXYZ.Y if variation <= Y_LIMIT else ClasseXYZ.Z
    return DemandShape(xyz, pattern)


def demand_shapes(sales: WeeklySales, as_of: date) -> dict[str, DemandShape]:
    """Classify each product by its history up to ``as_of``; unreadable rows give the unknown shape."""
    shapes: dict[str, DemandShape] = {}
    for product_id, rows in rows_by_product(sales):
        try:
            shapes[product_id] = demand_shape(gapless(rows, as_of).volume)
        except InvalidSalesError:
            shapes[product_id] = UNKNOWN_SHAPE
    return shapes


def _variation(values: FloatArray) -> float:
    """``values.std() / values.mean()`` in a quarter of the time: it is asked for twice a product."""
    mean = np.add.reduce(values) / values.size
    away = values - mean
    return float(np.sqrt(np.add.reduce(away * away) / values.size) / mean)
