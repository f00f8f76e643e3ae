from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from consumer.db.repositories.result_rows import result_rows
from consumer.db.repositories.row_ids import row_id_stem
from consumer.forecasting.types import ProductForecast, Variant
from tests.support.copy_rows import RESULT_READERS, rows_of

if TYPE_CHECKING:
    from consumer.forecasting.types import FloatArray

MONDAY = date(2026, 1, 5)


def forecast(product: str = "a", *, first_week: date = MONDAY, shape: tuple[int, int] = (2, 5)) -> ProductForecast:
    volume = np.arange(np.prod(shape), dtype=float).reshape(shape)
    return ProductForecast(product, Variant.AUTO_ETS, first_week, volume, volume * 10)


def rows(*forecasts: ProductForecast, horizon: int = 2) -> list[list[Any]]:
    return rows_of(result_rows("run", horizon, forecasts), RESULT_READERS)


def decimals(*values: str) -> list[Decimal]:
    return [Decimal(value) for value in values]


def test_row_has_every_column_in_place() -> None:
    """A row is id, execution, product, week, horizon, model, target and five quantiles with four decimals."""
    [_, [id_, *rest], revenue, _] = rows(forecast())
    assert uuid.UUID(id_).version == 8
    assert rest == [
        *("run", "a", date(2026, 1, 12), 2, "ETS", "VOLUME"),
        *decimals("5.0000", "6.0000", "7.0000", "8.0000", "9.0000"),
        *(None, None, None),
    ]
    assert revenue[6:8] == ["FATURAMENTO", Decimal(0)]


def test_direct_revenue_stands_beside_the_volume() -> None:
    """What a model of revenue says is in the VOLUME rows, p10, p50 and p90; the FATURAMENTO rows have none."""
    direct = np.array([[1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0, 8.0, 9.0, 10.0]])
    assert [row[-3:] for row in rows(replace(forecast(), direct_revenue=direct), forecast("b"))] == [
        decimals("1", "3", "5"),
        decimals("6", "8", "10"),
        *[[None] * 3] * 6,
    ]


def test_rows_stay_together_however_long_their_texts_are() -> None:
    """Products follow each other as they were given, VOLUME before FATURAMENTO, week by week."""
    weeks = [date(2026, 1, 5), date(2026, 1, 12)]
    named = rows(forecast("a long name"), replace(forecast("b"), revenue=None, variant=Variant.SBA), forecast("é\t"))
    assert [row[2:7] for row in named] == [
        *(["a long name", week, 2, "ETS", "VOLUME"] for week in weeks),
        *(["a long name", week, 2, "ETS", "FATURAMENTO"] for week in weeks),
        *(["b", week, 2, "CROSTON", "VOLUME"] for week in weeks),
        *(["é\t", week, 2, "ETS", "VOLUME"] for week in weeks),
        *(["é\t", week, 2, "ETS", "FATURAMENTO"] for week in weeks),
    ]


def test_products_may_begin_in_different_weeks() -> None:
    """Each forecast has its own weeks, and ids that follow from them."""
    early, late = rows(forecast(), replace(forecast("b"), first_week=date(2026, 3, 2)))[0::4]
    assert (early[3], late[3]) == (MONDAY, date(2026, 3, 2))
    assert late[0] == row_id_stem("run", "result", "b", "VOLUME") + f"{date(2026, 3, 2).toordinal():06x}"


def test_no_forecast_is_no_row() -> None:
    """An execution whose products all failed writes nothing, in a form that PostgreSQL takes."""
    assert rows() == []


@given(st.lists(st.floats(-1e10 + 1, 1e10 - 1).map(lambda value: round(value, 4)), min_size=5, max_size=5))
def test_number_is_stored_as_it_is_written_with_four_decimals(values: list[float]) -> None:
    """Whatever a model's rounded quantile is, the table has these decimals."""
    [row] = rows(ProductForecast("a", Variant.TSB, MONDAY, np.array([values]), None), horizon=1)
    assert row[7:12] == decimals(*(f"{value:.4f}" for value in values))


@pytest.mark.parametrize("wrong", [np.zeros((2, 3)), np.full((2, 5), np.nan), np.full((2, 5), 1e10)])
def test_direct_revenue_that_the_table_cannot_hold_is_refused(wrong: FloatArray) -> None:
    """It is checked as the other numbers are, and named as what it is."""
    with pytest.raises(ValueError, match="product a: direct revenue has"):
        result_rows("run", 2, [replace(forecast(), direct_revenue=wrong)])


def test_first_week_must_be_a_monday() -> None:
    """A forecast that begins within a week is refused with the day it begins on."""
    with pytest.raises(ValueError, match=r"product a: .* Tuesday, expected a Monday"):
        result_rows("run", 2, [forecast(first_week=MONDAY + timedelta(days=1))])


@pytest.mark.parametrize("shape", [(3, 5), (2, 4)])
def test_shape_must_be_horizon_by_quantiles(shape: tuple[int, int]) -> None:
    """A forecast with weeks or quantiles missing, or too many of them, is refused."""
    with pytest.raises(ValueError, match=r"product a: VOLUME has the shape .*, expected \(2, 5\)"):
        result_rows("run", 2, [forecast(shape=shape)])


def test_row_ids_do_not_collide() -> None:
    """Products, targets, executions and weeks each change the id."""
    stems = {
        row_id_stem(execution, "result", f"product {number}", target)
        for execution in ("one", "two")
        for number in range(5_000)
        for target in ("VOLUME", "FATURAMENTO")
    }
    assert len(stems) == 20_000
    assert len({row[0] for row in rows(forecast())}) == 4


@given(st.text(min_size=1), st.text(min_size=1), st.text())
def test_rows_of_an_execution_have_neighbouring_ids(execution: str, other: str, product: str) -> None:
    """UUIDs that begin alike, so that the index of a large table is touched in one place."""
    assume(execution != other and "\0" not in execution + other + product)
    first, second = (uuid.UUID(row_id_stem(execution, "result", name) + "000001") for name in (product, "another"))
    assert str(first)[:8] == str(second)[:8] != row_id_stem(other, "result", product)[:8]
    assert (first.variant, first.version) == (uuid.RFC_4122, 8)
