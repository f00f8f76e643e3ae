from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.forecasting.classification import UNKNOWN_SHAPE, abc_classes, demand_shapes, shapes_of
from schemas.enums import ClasseABC, ClasseXYZ, PadraoDemanda
from tests.unit.forecasting.builders import AS_OF, rows, sales


def test_abc_by_share_of_revenue() -> None:
    """A to 80 % of revenue, B to 95 %, C the rest; the product that crosses a limit belongs to the better class."""
    classes = abc_classes({"small": 4.0, "big": 70.0, "mid": 20.0, "low": 6.0})
    assert classes == {"big": ClasseABC.A, "mid": ClasseABC.A, "low": ClasseABC.B, "small": ClasseABC.C}


def test_product_without_revenue_is_c() -> None:
    """Returns and giveaways do not make a product important."""
    assert abc_classes({"returned": -5.0, "free": 0.0}) == {"returned": ClasseABC.C, "free": ClasseABC.C}


@given(st.dictionaries(st.text(min_size=1, max_size=3), st.floats(-10, 1e6), min_size=1), st.randoms())
def test_abc_does_not_depend_on_order(revenue: dict[str, float], random: object) -> None:
    """The order in which products come does not change their classes."""
    names = list(revenue)
    random.shuffle(names)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    assert abc_classes({name: revenue[name] for name in names}) == abc_classes(revenue)


@pytest.mark.parametrize(
    ("volume", "pattern"),
    [
        ([10, 11, 9, 10], PadraoDemanda.REGULAR),
        ([1, 30, 2, 1], PadraoDemanda.ERRATICO),
        ([10, 0, 10, 0], PadraoDemanda.INTERMITENTE),
        ([1, 0, 30, 0, 2, 0], PadraoDemanda.LUMPY),
        ([10, 0, 10, 10], PadraoDemanda.REGULAR),
    ],
)
def test_pattern_after_syntetos_and_boylan(volume: list[float], pattern: PadraoDemanda) -> None:
    """More than 25 % empty weeks is intermittent, a squared variation of sizes above 0.49 is erratic, both is lumpy."""
    assert shapes_of([np.array(volume, dtype=float)])[0].padrao_demanda is pattern


@pytest.mark.parametrize(
    ("volume", "xyz"),
    [([10, 10, 10], ClasseXYZ.X), ([5, 15], ClasseXYZ.X), ([1, 19], ClasseXYZ.Y), ([0, 0, 9], ClasseXYZ.Z)],
)
def test_xyz_by_variation(volume: list[float], xyz: ClasseXYZ) -> None:
    """X to a coefficient of variation of 0.5, Y to 1.0, Z above."""
    assert shapes_of([np.array(volume, dtype=float)])[0].classe_xyz is xyz


def test_one_week_is_not_called_steady() -> None:
    """A single week says nothing about regularity: Z."""
    assert shapes_of([np.array([7.0])])[0].classe_xyz is ClasseXYZ.Z


def test_only_the_last_year_counts() -> None:
    """Demand of more than 52 weeks ago does not make a steady product erratic."""
    volume = np.concatenate(([500.0], np.full(52, 10.0)))
    assert shapes_of([volume])[0].padrao_demanda is PadraoDemanda.REGULAR


def test_shapes_of_products_with_unreadable_or_no_sales_are_unknown() -> None:
    """A product that cannot be classified does not stop the others."""
    shapes = demand_shapes(sales({"bad": rows([1, np.nan]), "none": rows([]), "good": rows([5, 5])}), AS_OF)
    assert shapes["bad"] == shapes["none"] == UNKNOWN_SHAPE
    assert shapes["good"].padrao_demanda is PadraoDemanda.REGULAR


def test_revenue_that_is_no_number_spoils_no_share() -> None:
    """A NaN in one product's revenue makes that product C and leaves the classes of the others as they are."""
    assert abc_classes({"a": 90.0, "b": float("nan"), "c": 10.0}) == {
        "a": ClasseABC.A,
        "b": ClasseABC.C,
        "c": ClasseABC.B,
    }
