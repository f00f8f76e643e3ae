"""Which histories a network learns from."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np

from consumer.forecasting.global_model import series
from consumer.forecasting.global_model.base import panel
from consumer.forecasting.global_model.series import latest, series_table, stacked
from consumer.forecasting.history import History
from schemas.enums import ClasseABC, TargetType

if TYPE_CHECKING:
    import pytest

    from consumer.forecasting.global_model.base import Panel

MONDAY = date(2026, 6, 1)


def panel_of(lengths: dict[str, int]) -> Panel:
    histories = [History(np.arange(1.0, weeks + 1), np.arange(1.0, weeks + 1) * 10) for weeks in lengths.values()]
    return panel(list(lengths), histories, [ClasseABC.B] * len(lengths), MONDAY)


MANY = {f"product-{number}": 5 + number % 7 for number in range(60)}


def test_histories_are_the_same_however_products_were_cut_into_chunks() -> None:
    """One table or several, in any order: the same series."""
    names = list(MANY)
    whole = series_table(panel_of(MANY), TargetType.VOLUME, products_total=60, seed=3)
    parts = [
        series_table(panel_of({name: MANY[name] for name in some}), TargetType.VOLUME, products_total=60, seed=3)
        for some in (names[40:], names[:10], names[10:40])
    ]
    one, many = stacked([whole], MONDAY, least_weeks=1), stacked(parts, MONDAY, least_weeks=1)
    assert one.start.tolist() == many.start.tolist()
    assert one.values.tolist() == many.values.tolist()


def test_later_weeks_and_short_histories_are_left_out() -> None:
    """Only weeks up to the last known one count, and only products that then have enough of them."""
    table = series_table(panel_of(MANY), TargetType.VOLUME, products_total=60, seed=3)
    found = stacked([table], MONDAY - timedelta(weeks=2), least_weeks=6)
    lengths = np.diff(found.start)
    assert sorted(lengths.tolist()) == sorted(weeks - 2 for weeks in MANY.values() if weeks - 2 >= 6)
    assert all(found.values[start] == 1.0 for start in found.start[:-1])


def test_the_sample_stays_bounded_whatever_the_number_of_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """About the wanted number of products is kept, whole histories of them."""
    monkeypatch.setattr(series, "MOST_PRODUCTS", 100)
    many = dict.fromkeys((f"product-{number}" for number in range(2000)), 4)
    found = stacked(
        [series_table(panel_of(many), TargetType.VOLUME, products_total=2000, seed=3)], MONDAY, least_weeks=1
    )
    assert 60 <= len(found.start) - 1 <= 150
    assert set(np.diff(found.start).tolist()) == {4}


def test_the_latest_weeks_of_each_history_are_given() -> None:
    """A long history is cut, a short one is whole."""
    found = latest(panel_of({"long": 9, "short": 3}), TargetType.VOLUME, 5)
    assert found.start.tolist() == [0, 5, 8]
    assert found.values.tolist() == [5.0, 6.0, 7.0, 8.0, 9.0, 1.0, 2.0, 3.0]
