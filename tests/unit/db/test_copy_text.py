from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.db.repositories.copy_text import metric_rows, result_rows
from consumer.db.repositories.row_ids import row_id, row_id_stem
from consumer.forecasting.types import ProductForecast, ProductMetric, Variant
from schemas.enums import ClasseABC

if TYPE_CHECKING:
    from consumer.forecasting.types import FloatArray

MONDAY = date(2026, 1, 5)


def forecast(product: str = "a", *, first_week: date = MONDAY, shape: tuple[int, int] = (2, 5)) -> ProductForecast:
    volume = np.arange(np.prod(shape), dtype=float).reshape(shape)
    return ProductForecast(product, Variant.AUTO_ETS, first_week, volume, volume * 10)


def cells(execucao_id: str = "run", product: str = "a") -> list[list[str]]:
    rows = result_rows(execucao_id, 2, [forecast(product)]).decode()
    return [line.split("\t") for line in rows.splitlines()]


def test_row_has_every_column_in_place() -> None:
    """A row is id, execution, product, week, horizon, model, target and five quantiles with four decimals."""
    [id_, *rest] = cells()[1]
    assert uuid.UUID(id_).version == 8
    assert rest == [
        *("run", "a", "2026-01-12", "2", "ETS", "VOLUME"),
        *("5.0000", "6.0000", "7.0000", "8.0000", "9.0000"),
        *(r"\N", r"\N", r"\N"),
    ]
    assert cells()[2][6:8] == ["FATURAMENTO", "0.0000"]


def test_direct_revenue_stands_beside_the_volume() -> None:
    """What a model of revenue says is in the VOLUME rows, p10, p50 and p90; the FATURAMENTO rows have none."""
    direct = np.array([[1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0, 8.0, 9.0, 10.0]])
    rows = result_rows("run", 2, [replace(forecast(), direct_revenue=direct)]).decode().splitlines()
    assert [line.split("\t")[-3:] for line in rows] == [
        ["1.0000", "3.0000", "5.0000"],
        ["6.0000", "8.0000", "10.0000"],
        [r"\N"] * 3,
        [r"\N"] * 3,
    ]


@pytest.mark.parametrize("wrong", [np.zeros((2, 3)), np.full((2, 5), np.nan), np.full((2, 5), 1e10)])
def test_direct_revenue_that_the_table_cannot_hold_is_refused(wrong: FloatArray) -> None:
    """It is checked as the other numbers are, and named as what it is."""
    with pytest.raises(ValueError, match="product a: direct revenue has"):
        result_rows("run", 2, [replace(forecast(), direct_revenue=wrong)])


def test_separators_in_ids_are_escaped() -> None:
    """What separates rows and columns of COPY is escaped within an id."""
    rows = result_rows("run", 2, [forecast("t\tn\nr\rb\\")]).decode()
    assert rows.count("\n") == 4
    assert r"t\tn\nr\rb\\" in rows


def test_first_week_must_be_a_monday() -> None:
    """A forecast that begins within a week is refused with the day it begins on."""
    with pytest.raises(ValueError, match=r"product a: .* Tuesday, expected a Monday"):
        result_rows("run", 2, [forecast(first_week=MONDAY + timedelta(days=1))])


@pytest.mark.parametrize("shape", [(3, 5), (2, 4)])
def test_shape_must_be_horizon_by_quantiles(shape: tuple[int, int]) -> None:
    """A forecast with weeks or quantiles missing, or too many of them, is refused."""
    with pytest.raises(ValueError, match=r"product a: VOLUME has the shape .*, expected \(2, 5\)"):
        result_rows("run", 2, [forecast(shape=shape)])


def test_metric_cells_are_numbers_or_null() -> None:
    """Values that fit have four decimals, the others are NULL; only those that were given are counted."""
    metric = ProductMetric("a", Variant.SBA, ClasseABC.A, None, float("inf"), 2.0, -1e4)
    rows, nulled = metric_rows("run", [metric])
    assert rows.getvalue().decode().rstrip("\n").split("\t")[1:] == [
        *("run", "a", "SBA", r"\N", r"\N", "2.0000", r"\N", "A")
    ]
    assert nulled == 2


@given(parts=st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1))
def test_row_id_is_a_uuid_that_depends_on_its_parts_alone(parts: list[str]) -> None:
    """Any parts give a canonical UUID, the same each time."""
    made = row_id(*parts)
    assert str(uuid.UUID(made)) == made
    assert uuid.UUID(made).variant == uuid.RFC_4122
    assert made == row_id(*parts)
    assert row_id(*parts, "") != made


def test_row_ids_do_not_collide() -> None:
    """Products, targets, executions and weeks each change the id."""
    stems = {
        row_id_stem(execution, "result", f"product {number}", target)
        for execution in ("one", "two")
        for number in range(5_000)
        for target in ("VOLUME", "FATURAMENTO")
    }
    assert len(stems) == 20_000
    assert len({row[0] for row in cells()}) == 4


def test_row_ids_are_stable_over_versions() -> None:
    """Rows written by an older version are replaced by the same id, so the rule may never change."""
    assert row_id("run", "metric", "a", "ETS") == "f012cd97-9b6a-864c-8a8d-82aee0000000"
