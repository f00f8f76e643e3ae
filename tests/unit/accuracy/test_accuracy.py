"""The program that says how good the forecasts are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from accuracy import library
from accuracy.__main__ import main
from accuracy.alone import MODELS
from accuracy.metrics import change, measure
from accuracy.sales import HOLDOUT_WEEKS, split

if TYPE_CHECKING:
    from pathlib import Path

ACTUAL = np.array([[2.0, 0.0], [10.0, 30.0]])
FORECAST = np.array(
    [
        [[0.0, 1.0, 1.0, 1.0, 3.0], [0.0, 0.5, 1.0, 2.0, 4.0]],
        [[12.0, 13.0, 14.0, 20.0, 25.0], [10.0, 20.0, 20.0, 30.0, 30.0]],
    ]
)
ABSOLUTE, SQUARED = np.array([2.0, 5.0]), np.array([4.0, 50.0])


def test_measures_are_what_their_names_say() -> None:
    """Two products, two weeks, computed by hand."""
    found = measure(ACTUAL, FORECAST, ABSOLUTE, SQUARED)
    assert found.products == 2
    assert found.scaled_mae == pytest.approx(((1 + 1) / 2 / 2 + (4 + 10) / 2 / 5) / 2)
    assert found.rmsse == pytest.approx(((1 / 4) ** 0.5 + ((16 + 100) / 2 / 50) ** 0.5) / 2)
    assert found.wape == pytest.approx((1 + 1 + 4 + 10) / 42)
    assert found.bias == pytest.approx(((-1 + 1) / 2 / 2 + (4 - 10) / 2 / 5) / 2)
    assert found.coverage_80 == pytest.approx(3 / 4)
    assert found.coverage_50 == pytest.approx(1 / 4)
    first = 2 * np.mean([0.1 * 2, 0.25 * 1, 0.5 * 1, 0.75 * 1, 0.1 * 1])
    second = 2 * np.mean([0, 0.75 * 0.5, 0.5 * 1, 0.25 * 2, 0.1 * 4])
    third = 2 * np.mean([0.9 * 2, 0.75 * 3, 0.5 * 4, 0.25 * 10, 0.1 * 15])
    fourth = 2 * np.mean([0.1 * 20, 0.25 * 10, 0.5 * 10, 0, 0])
    assert found.pinball == pytest.approx(((first + second) / 2 / 2 + (third + fourth) / 2 / 5) / 2)
    assert change(np.array([1.0, 4.0, 3.0])) == (2.0, 5.0)
    assert change(np.array([1.0])) == (0.0, 0.0)


@given(
    demand=st.lists(st.integers(0, 100), min_size=3, max_size=10),
    guess=st.lists(st.integers(0, 100), min_size=5, max_size=5),
    factor=st.floats(0.01, 100),
)
def test_the_unit_of_a_product_does_not_matter(demand: list[int], guess: list[int], factor: float) -> None:
    """Bottles or crates: the measures are the same; and a forecast of what happened has no error."""
    actual = np.array([demand], dtype=float)
    quantiles = np.tile(np.sort(np.array(guess, dtype=float)), (1, len(demand), 1))
    if not actual.sum():
        return
    one = measure(actual, quantiles, np.ones(1), np.ones(1))
    other = measure(actual * factor, quantiles * factor, np.full(1, factor), np.full(1, factor**2))
    for name in ("scaled_mae", "rmsse", "wape", "bias", "pinball"):
        assert getattr(other, name) == pytest.approx(getattr(one, name), abs=1e-9)
    perfect = measure(actual, np.repeat(actual[..., None], 5, axis=2), np.ones(1), np.ones(1))
    assert (perfect.scaled_mae, perfect.pinball, perfect.coverage_80, perfect.coverage_50) == (0, 0, 1, 1)


def test_nothing_of_the_holdout_is_known() -> None:
    """The known sales end where the held out weeks begin, and a sample is the same each time."""
    sales = split(60)
    assert sales.known.week.max() <= np.datetime64(sales.as_of)
    assert sales.held_out.shape == (len(sales.product_ids), HOLDOUT_WEEKS)
    assert sales.product_ids == split(60).product_ids
    earlier = split(60, earlier=13)
    assert (sales.as_of - earlier.as_of).days == 13 * 7
    shared = [name for name in earlier.product_ids if name in sales.product_ids]
    histories = dict(zip(sales.product_ids, sales.histories(), strict=True))
    known = dict(zip(earlier.product_ids, zip(earlier.histories(), earlier.held_out, strict=True), strict=True))
    for name in shared:
        assert histories[name].tolist() == [*known[name][0], *known[name][1]]


@pytest.mark.timeout(600)
def test_a_small_sample_gives_the_same_file_with_one_process_and_with_two(tmp_path: Path) -> None:
    """Every model has a row of finite numbers, in the form that is promised; only the seconds differ."""
    found = []
    for processes in (1, 2):
        path = tmp_path / f"{processes}.json"
        main(60, processes, path, 0)
        found.append(json.loads(path.read_text()))
    rows = found[0]["rows"]
    names = ["auto", *MODELS, *library.MODELS, *library.BASELINE]
    assert [row["name"] for row in rows] == names
    assert {row["engine"] for row in rows} == {"ours", "library", "baseline"}
    keys = {"name", "engine", "scaled_mae", "rmsse", "wape", "bias", "pinball", "coverage_80", "coverage_50"}
    for row in rows:
        assert set(row) == keys | {"seconds", "products"}
        assert all(np.isfinite(row[key]) for key in keys - {"name", "engine"})
    by_name = {row["name"]: row for row in rows}
    assert by_name["auto"]["pinball"] < by_name["AutoETS"]["pinball"]
    for result in found:
        for row in result["rows"]:
            del row["seconds"]
    assert found[0] == found[1]
    assert sum(value["products"] for value in found[0]["patterns"].values()) == rows[0]["products"]
    assert all(set(value) == {"coverage_80", "coverage_50", "products"} for value in found[0]["patterns"].values())
