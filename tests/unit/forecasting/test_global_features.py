"""What a global model sees, and the rows it learns from."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.forecasting.global_model.feature_rows import feature_rows
from consumer.forecasting.global_model.features import (
    NAMES,
    WINDOW_QUANTILES,
    all_origins,
    latest_origins,
)
from consumer.forecasting.global_model.training import DEMAND, HORIZON, KEY, WEEK, training_table
from consumer.forecasting.global_model.windows import Windows
from schemas.enums import TargetType
from tests.unit.forecasting.panels import LAST, panel_of

VOLUME = TargetType.VOLUME
LONG = [4, 0, 2, 6, 1, 0, 0, 3]
volumes = st.lists(st.integers(0, 50), min_size=3, max_size=70).map(lambda found: [1.0, *map(float, found)])


def at_the_end(volume: list[float], ahead: int = 1) -> dict[str, float]:
    """The features of one product after its last week."""
    histories = panel_of({"p": volume})
    origins = latest_origins(histories, VOLUME)
    (row,) = feature_rows(histories, VOLUME, origins, np.array([0]), np.array([ahead]))
    return dict(zip(NAMES, row.tolist(), strict=True))


def test_features_are_what_their_names_say() -> None:
    """Lags, means, deviations and shares of a short history, computed by hand; scaled by its level."""
    found = at_the_end(LONG)
    level = np.mean(LONG)  # fewer than 13 weeks: both halves of the level are the same mean
    assert found["log_level"] == pytest.approx(np.log(level))
    assert found["lag_1"] == pytest.approx(3 / level)
    assert found["lag_8"] == pytest.approx(4 / level)
    assert np.isnan(found["lag_13"])
    assert found["mean_4"] == pytest.approx(1.0 / level)
    assert found["deviation_4"] == pytest.approx(np.std([1, 0, 0, 3], ddof=1) / level)
    assert found["largest_13"] == pytest.approx(6 / level)
    assert found["step_all"] == pytest.approx((0 + 4 + 2 + 4 + 5 + 1 + 0 + 3) / 8 / level)
    assert found["empty_4"] == pytest.approx(0.5)
    assert found["empty_all"] == pytest.approx(3 / 8)
    assert found["weeks_since_sale"] == 0
    assert found["weeks_known"] == 8
    assert found["log_size"] == pytest.approx(np.log(np.mean([4, 2, 6, 1, 3])))
    assert found["size_variation"] == pytest.approx(np.std([4, 2, 6, 1, 3]) / np.mean([4, 2, 6, 1, 3]))
    assert found["log_price"] == pytest.approx(np.log(2.0))
    assert found["price_4"] == pytest.approx(1.0)
    assert found["class_abc"] == 1


def test_weeks_since_the_last_sale_are_counted() -> None:
    """Three empty weeks at the end are three."""
    assert at_the_end([5, 1, 0, 0, 0])["weeks_since_sale"] == 3


def test_the_week_a_year_ago_is_the_one_of_the_week_ahead() -> None:
    """Its mean with both neighbours; and the week of the year is known only to who has seen a year."""
    volume = [float(week + 1) for week in range(60)]
    found = at_the_end(volume, ahead=5)
    weeks = volume[60 + 5 - 1 - 52 - 1 : 60 + 5 - 1 - 52 + 2]
    level = (np.mean(volume) + np.mean(volume[-13:])) / 2
    assert found["last_year"] == pytest.approx(np.mean(weeks) / level)
    assert found["week_of_year"] == (date(2026, 12, 28) - date(2026, 1, 1)).days // 7
    assert np.isnan(at_the_end(volume[:51])["week_of_year"])
    assert np.isnan(at_the_end(volume[:51])["last_year"])


@settings(max_examples=50, deadline=None)
@given(histories=st.lists(st.lists(st.floats(0, 1e6), min_size=1, max_size=40), min_size=1, max_size=4))
def test_quantiles_of_the_ends_are_those_of_all_points(histories: list[list[float]]) -> None:
    """What predicting computes of the last weeks alone is, to the last bit, what training computes of every week."""
    start = np.cumsum([0, *map(len, histories)])
    values = np.concatenate([np.array(history) for history in histories])
    windows = Windows(start)
    ends = windows.points(np.arange(len(histories)), np.diff(start))
    found = windows.quantiles_at_ends(values, WINDOW_QUANTILES, 26)
    for quantile, column in zip(WINDOW_QUANTILES, found, strict=True):
        everywhere = windows.apply(values, "RollingQuantile", 1, quantile, 26, min_samples=1)
        np.testing.assert_array_equal(column, everywhere[ends])


@settings(max_examples=30, deadline=None)
@given(volume=volumes, later=st.lists(st.integers(0, 1000), min_size=1, max_size=5))
def test_no_feature_of_a_point_in_time_knows_a_later_week(volume: list[float], later: list[int]) -> None:
    """The features after n weeks are the same whether or not more weeks are known."""
    short = panel_of({"p": volume})
    longer = panel_of({"p": [*volume, *map(float, later)]})
    points = all_origins(longer, VOLUME)
    here = np.flatnonzero(points.known == len(volume))
    now = latest_origins(short, VOLUME)
    np.testing.assert_array_equal(points.features[here], now.features)
    np.testing.assert_array_equal(points.level[here], now.level)


@settings(max_examples=20, deadline=None)
@given(found=st.lists(volumes, min_size=2, max_size=6), cut=st.integers(1, 5), most=st.integers(1, 60))
def test_rows_do_not_depend_on_chunks(found: list[list[float]], cut: int, most: int) -> None:
    """Two chunks give the rows of one, bit for bit."""
    products = {f"p{number}": volume for number, volume in enumerate(found)}
    names = list(products)
    total = 300_000 // most

    def rows(some: list[str]) -> list[tuple[float, ...]]:
        if not some:
            return []
        table = training_table(panel_of({name: products[name] for name in some}), VOLUME, products_total=total, seed=3)
        return [tuple(repr(value) for value in row.values()) for row in table.to_pylist()]  # type: ignore[misc]  # NaN

    assert sorted(rows(names)) == sorted(rows(names[:cut]) + rows(names[cut:]))


def test_a_row_is_the_demand_of_its_week_in_levels() -> None:
    """With so few products every pair of origin and week ahead is a row."""
    table = training_table(panel_of({"p": LONG}), VOLUME, products_total=1, seed=1)
    assert table.num_rows == sum(min(len(LONG) - known, HORIZON) for known in range(1, len(LONG)))
    for row in table.to_pylist():
        known, ahead = int(row["weeks_known"]), int(row["weeks_ahead"])
        assert row[DEMAND] == pytest.approx(LONG[known + ahead - 1] / np.exp(row["log_level"]), rel=1e-5)
        back = len(LONG) - known - ahead
        assert row[WEEK] == (LAST - date(1970, 1, 1)).days - 7 * back


def test_many_products_have_few_rows_each() -> None:
    """The rows of all products together are bounded, and another seed takes others."""
    products = {f"p{number}": LONG * 5 for number in range(4)}
    tables = [training_table(panel_of(products), VOLUME, products_total=60_000, seed=seed) for seed in (1, 2)]
    assert [table.num_rows for table in tables] == [4 * 5, 4 * 5]
    assert set(tables[0][KEY].to_pylist()).isdisjoint(tables[1][KEY].to_pylist())


def test_a_product_of_one_week_and_no_product_at_all_teach_nothing() -> None:
    """No row, and no error."""
    assert training_table(panel_of({"p": [3]}), VOLUME, products_total=1, seed=1).num_rows == 0
    assert training_table(panel_of({}), VOLUME, products_total=1, seed=1).num_rows == 0
