from __future__ import annotations

import json
from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.forecasting.backtesting import add, error_sums, measures
from consumer.forecasting.champion import trained_models
from consumer.forecasting.compute import compute_chunk
from consumer.forecasting.history import History
from consumer.forecasting.promotion import beats
from consumer.forecasting.revenue import RevenueTooLargeError, expected_price, revenue_quantiles
from consumer.forecasting.summary import merge, without_bands
from consumer.forecasting.types import QUANTILES, FloatArray, ProductFailure, Variant
from schemas.enums import ClasseABC
from tests.unit.forecasting.builders import noisy, planned, request, rows

AMOUNTS = st.floats(0, 1000).map(lambda value: round(value, 2))
WEEKS = st.lists(st.tuples(AMOUNTS, st.lists(AMOUNTS, min_size=5, max_size=5).map(sorted)), min_size=1, max_size=20)


def as_arrays(weeks: list[tuple[float, list[float]]]) -> tuple[FloatArray, FloatArray]:
    return np.array([actual for actual, _ in weeks]), np.array([quantiles for _, quantiles in weeks])


@given(WEEKS)
def test_measures_equal_their_definitions(weeks: list[tuple[float, list[float]]]) -> None:
    """Every measure is what its textbook definition gives, in plain Python."""
    got = measures(error_sums(*as_arrays(weeks)))
    count = len(weeks)
    errors = [quantiles[2] - actual for actual, quantiles in weeks]
    relative = [abs(q[2] - actual) / actual for actual, q in weeks if actual > 0]
    total = sum(actual for actual, _ in weeks)
    pinball = [
        level * (actual - value) if actual >= value else (1 - level) * (value - actual)
        for actual, quantiles in weeks
        for level, value in zip(QUANTILES, quantiles, strict=True)
    ]
    inside = sum(quantiles[0] <= actual <= quantiles[4] for actual, quantiles in weeks)
    expected = {
        "mae": sum(map(abs, errors)) / count,
        "bias": sum(errors) / count,
        "rmse": sqrt(sum(error**2 for error in errors) / count),
        "mape": 100 * sum(relative) / len(relative) if relative else None,
        "wape": 100 * sum(map(abs, errors)) / total if total else None,
        "pinball": sum(pinball) / len(pinball),
        "coverage_p10_p90": 100 * inside / count,
    }
    for name, value in expected.items():
        assert got[name] == (value if value is None else pytest.approx(value, rel=1e-4, abs=2e-3)), name


@given(WEEKS, WEEKS, WEEKS)
def test_sums_do_not_depend_on_grouping(
    one: list[tuple[float, list[float]]],
    two: list[tuple[float, list[float]]],
    three: list[tuple[float, list[float]]],
) -> None:
    """(a + b) + c is a + (b + c), to the last digit."""
    parts = [error_sums(*as_arrays(weeks)) for weeks in (one, two, three)]
    left: dict[str, int] = {}
    for part in parts:
        add(left, part)
    right: dict[str, int] = {}
    for part in reversed(parts):
        add(right, part)
    assert left == right


def test_mape_without_demand_is_unknown() -> None:
    """In a holdout without demand MAPE and WAPE have no value, the others do."""
    got = measures(error_sums(np.zeros(3), np.ones((3, 5))))
    assert (got["mape"], got["wape"], got["mae"], got["bias"]) == (None, None, 1.0, 1.0)


def test_list_price_comes_first() -> None:
    """The list price is the expected price, whatever was practised."""
    assert expected_price(History(np.ones(3), np.full(3, 9.0)), 4.5) == 4.5


@pytest.mark.parametrize("list_price", [None, 0.0, -1.0, float("nan"), float("inf")])
def test_without_a_list_price_the_last_13_weeks_count(list_price: float | None) -> None:
    """Revenue by volume of the last 13 weeks, each unit weighing the same; older prices are out of date."""
    volume = np.array([10.0] + [0.0] * 11 + [1.0, 3.0])
    revenue = np.array([1000.0] + [0.0] * 11 + [10.0, 18.0])
    assert expected_price(History(volume, revenue), list_price) == 7.0


def test_last_practised_price_is_the_last_resort() -> None:
    """Without sales in 13 weeks the price of the last week with sales is used; without any there is none."""
    volume = np.array([2.0, 4.0] + [0.0] * 13)
    assert expected_price(History(volume, volume * np.array([1.0, 3.0] + [0.0] * 13)), None) == 3.0
    assert expected_price(History(volume, np.zeros(15)), None) is None


def test_revenue_is_volume_times_price() -> None:
    """Revenue is rounded as the database keeps it, absent without a price, and refused where it does not fit."""
    volume = np.array([[1.0, 2.0, 3.0, 4.0, 5.0]])
    revenue = revenue_quantiles(volume, 1.23456)
    assert revenue is not None
    assert revenue.tolist() == [[1.2346, 2.4691, 3.7037, 4.9382, 6.1728]]
    assert revenue_quantiles(volume, None) is None
    with pytest.raises(RevenueTooLargeError, match="too large"):
        revenue_quantiles(volume, 1e10)


def test_merge_counts_and_measures() -> None:
    """The summary of a train counts products per model and measures classes, models and families."""
    histories = {"a": rows(noisy(60)), "b": rows(noisy(60, seed=2)), "gone": rows([])}
    plan = [
        planned("a", (Variant.SIMPLE_ETS,), fallback="TFT not available"),
        planned("b", (Variant.TSB,), abc=ClasseABC.C),
        planned("gone", ()),
    ]
    results = [compute_chunk(request(histories, [product], task="train")) for product in plan]
    stored = [json.loads(json.dumps(result.summary)) for result in results]
    resumo = merge(stored, [ProductFailure("unknown", "unknown-product", "no such product")])
    assert resumo["products"] == 4
    assert resumo["models"] == {"SIMPLE_ETS": 1, "TSB": 1}
    assert resumo["fallbacks"] == {"TFT not available": 1}
    assert resumo["failed"]["count"] == 2
    assert [entry["product_id"] for entry in resumo["failed"]["products"]] == ["unknown", "gone"]
    assert list(resumo["metrics"]) == ["overall", "A", "C"]
    assert resumo["metrics"]["overall"]["model"]["products"] == 2
    assert resumo["metrics"]["A"]["baseline"]["weeks"] == 13
    assert list(resumo["metrics_by_family"]) == ["CROSTON", "ETS"]
    assert json.loads(json.dumps(resumo)) == resumo


def test_merge_lists_the_first_hundred_failures() -> None:
    """The summary stays small when everything fails: all are counted, a hundred are named."""
    plan = [planned(f"{number:03}", ()) for number in range(150)]
    resumo = merge([compute_chunk(request({}, plan[start : start + 30])).summary for start in range(0, 150, 30)])
    assert resumo["failed"]["count"] == 150
    assert [entry["product_id"] for entry in resumo["failed"]["products"]] == [f"{n:03}" for n in range(100)]


def test_data_hash_changes_with_the_data_and_not_with_the_order() -> None:
    """Two executions on the same rows have the same hash; one changed row changes it."""
    histories = {"a": rows([1, 2]), "b": rows([3, 4])}
    hashes = [
        merge([compute_chunk(request(data)).summary])["data_hash"]
        for data in (histories, dict(reversed(histories.items())), {**histories, "a": rows([1, 2.5])})
    ]
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize(
    ("challenger", "champion", "wins"),
    [
        (20.0, None, True),
        (20.0, 21.0, True),
        (20.0, 20.9, False),
        (20.0, 19.0, False),
        (None, 50.0, False),
        (float("nan"), 50.0, False),
        (20.0, float("nan"), True),
    ],
)
def test_challenger_must_be_better_by_the_margin(
    challenger: float | None, champion: float | None, *, wins: bool
) -> None:
    """A challenger is promoted if its error is a point lower, or if it is the first that was measured."""
    assert beats(challenger, champion) is wins


def test_without_a_margin_it_must_still_be_lower() -> None:
    """An equal error never promotes."""
    assert not beats(20.0, 20.0, 0.0)
    assert beats(19.999, 20.0, 0.0)


def test_trained_models_record_how_they_came_to_be() -> None:
    """A trained family has its variants' parameters, the seed, the data and library versions, and its error."""
    histories = {"a": rows(noisy(60)), "b": rows(noisy(60, seed=2))}
    plan = [planned("a", (Variant.SIMPLE_ETS,)), planned("b", (Variant.TSB,))]
    resumo = merge([compute_chunk(request(histories, plan, task="train")).summary])
    croston, ets = trained_models(resumo, seed=7, holdout_weeks=13)
    assert (croston.tipo_modelo, ets.tipo_modelo) == ("CROSTON", "ETS")
    assert croston.parametros["variants"] == {"TSB": {"model": "TSB", "alpha_d": 0.2, "alpha_p": 0.2}}
    assert croston.parametros["seed"] == 7
    assert croston.parametros["data_hash"] == resumo["data_hash"]
    assert "statsforecast" in croston.parametros["libraries"]
    assert ets.error == ets.metricas_treino["wape"] == resumo["metrics_by_family"]["ETS"]["wape"]
    assert ets.metricas_treino["holdout_weeks"] == 13


def test_predict_trains_nothing() -> None:
    """A predict measures no model, so there is none to store."""
    assert trained_models(merge([compute_chunk(request({"a": rows([1])})).summary]), seed=7, holdout_weeks=13) == ()


def test_a_train_tells_nothing_of_bands_that_it_calibrated_on_the_same_weeks() -> None:
    """Its coverage would be right by construction; errors stay, and so does what is told of the moving average."""
    resumo = merge([compute_chunk(request({"p": rows(noisy(60))}, task="backtest")).summary])
    told = without_bands(resumo)
    model, baseline = told["metrics"]["overall"]["model"], told["metrics"]["overall"]["baseline"]
    assert set(resumo["metrics"]["overall"]["model"]) - set(model) == {
        "pinball",
        "coverage_p10_p90",
        "coverage_p25_p75",
    }
    assert model["wape"] == resumo["metrics"]["overall"]["model"]["wape"]
    assert baseline == resumo["metrics"]["overall"]["baseline"]
    assert all("pinball" not in one for one in told["metrics_by_model"].values())
    assert "backtest" in told["bands"]
