from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.forecasting.gapless import InvalidSalesError, histories
from consumer.forecasting.history import (
    ENDED,
    NET_RETURNS,
    NEVER_SOLD,
    SPIKE,
    History,
    Rows,
    for_fitting,
    rows_by_product,
)
from tests.unit.forecasting.builders import AS_OF, rows, sales

volumes = st.lists(st.sampled_from([0.0, 0.0, 3.0, 5.0, 0.25, -2.0]), max_size=12)


def gapless(rows: Rows, last_week: date) -> History:
    found = histories(sales({"p": rows}), last_week)
    for problem in found.refused.values():
        raise problem
    return found.usable["p"]


def fitting(volume: list[float]) -> History:
    values = np.array(volume)
    return for_fitting(History(values, values))


def test_gap_between_sales_is_zero_demand() -> None:
    """A week without a row counts as zero demand."""
    history = gapless(rows([5, 0, 0, 7], skip_zeros=True), AS_OF)
    assert history.volume.tolist() == [5, 0, 0, 7]
    assert history.revenue.tolist() == [10, 0, 0, 14]


def test_history_reaches_the_newest_week_of_all_products() -> None:
    """A product that stopped selling has zero demand from then to the newest week."""
    history = gapless(rows([5, 6], last=AS_OF - timedelta(weeks=3)), AS_OF)
    assert history.volume.tolist() == [5, 6, 0, 0, 0]


def test_before_the_first_sale_there_is_no_data() -> None:
    """Zero and negative weeks before the first sale are not demand of zero."""
    assert gapless(rows([0, -2, 0, 4, 0]), AS_OF).volume.tolist() == [4, 0]


def test_later_rows_are_not_looked_at() -> None:
    """Nothing after the given week enters a history, not even a value that could not be read."""
    history = gapless(rows([3, 4, np.nan]), AS_OF - timedelta(weeks=1))
    assert history.volume.tolist() == [3, 4]


def test_net_returns_are_zero_demand() -> None:
    """A week with more returns than sales counts as zero, and the rule is noted."""
    history = gapless(rows([5, -3, 6]), AS_OF)
    assert history.volume.tolist() == [5, 0, 6]
    assert history.notes == (NET_RETURNS,)


def test_all_zeros_is_an_empty_history() -> None:
    """A product with rows and without one sale has never sold."""
    history = gapless(rows([0, 0, 0]), AS_OF)
    assert history.volume.size == 0
    assert history.notes == (NEVER_SOLD,)


def test_one_point_is_a_history_of_one_week() -> None:
    """A product sold in the newest week only has one week of history."""
    assert gapless(rows([9]), AS_OF).volume.tolist() == [9]


def test_two_rows_of_one_week_are_added() -> None:
    """A week that comes twice is the sum of both."""
    one = rows([4])
    twice = Rows(np.repeat(one.week, 2), np.repeat(one.volume, 2), np.repeat(one.revenue, 2))
    assert gapless(twice, AS_OF).volume.tolist() == [8]


@given(st.lists(volumes, max_size=6), st.integers(0, 3))
def test_each_product_has_the_history_that_its_own_rows_give(products: list[list[float]], later: int) -> None:
    """Whoever stands beside it, a product's weeks are what its rows say: from its first sale on, returns as zero."""
    last = AS_OF - timedelta(weeks=later)
    together = {str(number): rows(volume, skip_zeros=True) for number, volume in enumerate(products)}
    for name, history in histories(sales(together), last).usable.items():
        volume = products[int(name)]
        known = volume[: max(len(volume) - later, 0)]
        while known and known[0] <= 0:
            known.pop(0)
        assert history.volume.tolist() == [max(value, 0.0) for value in known]
        assert history.revenue.tolist() == [2.0 * value for value in known]
        assert (NET_RETURNS in history.notes) == any(value < 0 for value in known)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_value_that_is_no_number_names_the_week(value: float) -> None:
    """A volume that is not finite is refused with its week."""
    with pytest.raises(InvalidSalesError, match="volume of week 2026-11-16"):
        gapless(rows([1, value, 2]), AS_OF)


def test_product_that_cannot_be_read_leaves_its_neighbours_alone() -> None:
    """Only the product with the bad row is refused, and only for a row that is looked at."""
    found = histories(sales({"a": rows([1, 2]), "b": rows([1, np.nan]), "c": rows([3])}), AS_OF)
    assert (list(found.usable), list(found.refused)) == (["a", "c"], ["b"])


def test_single_giant_spike_is_cut_to_the_next_largest_week() -> None:
    """One week of more than five times every other does not set the level."""
    history = fitting([10, 12, 9, 11, 10, 400, 10, 9, 12, 10])
    assert history.volume.max() == 12
    assert (history.revenue / history.volume).tolist() == pytest.approx([1.0] * 10), "the week's price is no other"
    assert SPIKE in history.notes


@pytest.mark.parametrize(
    "volume",
    [
        pytest.param([10, 12, 9, 400, 11, 380, 10, 9, 12, 10], id="two spikes are a pattern"),
        pytest.param([10, 12, 400], id="too short to know the usual size"),
        pytest.param([10, 12, 9, 11, 10, 60, 10, 9, 12, 10], id="five times is no more than five times"),
    ],
)
def test_what_is_no_single_giant_spike_stays(volume: list[float]) -> None:
    """Other large weeks are demand."""
    history = fitting(volume)
    assert history.volume.tolist() == volume
    assert history.notes == ()


def test_half_a_year_without_sales_is_noted() -> None:
    """A product without a sale in 26 weeks is noted as ended, one with 25 is not."""
    assert fitting([5.0] + [0.0] * 26).notes == (ENDED,)
    assert fitting([5.0] + [0.0] * 25).notes == ()


def test_rows_are_given_to_their_products() -> None:
    """Each product gets its own rows, one without any gets none, the order stays."""
    parts = dict(rows_by_product(sales({"b": rows([1, 2]), "none": rows([]), "a": rows([3])})))
    assert list(parts) == ["b", "none", "a"]
    assert [part.volume.tolist() for part in parts.values()] == [[1, 2], [], [3]]
