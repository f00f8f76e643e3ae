from __future__ import annotations

import json
import pickle
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.forecasting.compute import compute_chunk, warm_up
from consumer.forecasting.selection import select
from consumer.forecasting.summary import merge
from consumer.forecasting.types import ChunkResult, Variant
from schemas.enums import ClasseABC, PadraoDemanda
from tests.unit.forecasting.builders import AS_OF, LOCAL, noisy, planned, request, rows

if TYPE_CHECKING:
    from consumer.forecasting.history import Rows
    from consumer.forecasting.types import PlannedProduct

MIXED = {
    **{f"p{number}": rows(noisy(52, 3 + number, number, 0.1 * number)) for number in range(8)},
    "empty": rows([]),
    "zeros": rows([0, 0, 0]),
    "bad": rows([1, np.nan, 3]),
    "one": rows([5]),
}
PLAN = tuple(
    planned(name, (LOCAL[number % len(LOCAL)], Variant.NAIVE), abc=list(ClasseABC)[number % 3])
    for number, name in enumerate(MIXED)
)


def by_product(results: list[ChunkResult]) -> dict[str, bytes]:
    """Every number of every product as bytes."""
    found: dict[str, bytes] = {}
    for result in results:
        for forecast in result.forecasts:
            revenue = b"" if forecast.revenue is None else forecast.revenue.tobytes()
            found[forecast.product_id] = forecast.variant.encode() + forecast.volume.tobytes() + revenue
        for metric in result.metrics:
            found[f"{metric.product_id}/{metric.variant}"] = repr(metric).encode()
        for failure in result.failures:
            found[failure.product_id] = repr(failure).encode()
    return found


def in_chunks(plan: tuple[PlannedProduct, ...], size: int, task: Literal["predict", "backtest"]) -> list[ChunkResult]:
    parts = [plan[start : start + size] for start in range(0, len(plan), size)]
    return [
        compute_chunk(request({item.product_id: MIXED[item.product_id] for item in part}, part, task=task))
        for part in parts
    ]


@pytest.mark.parametrize("task", ["predict", "backtest"])
@settings(max_examples=8, deadline=None)
@given(size=st.integers(1, 12), order=st.permutations(PLAN))
def test_numbers_do_not_depend_on_chunks_or_order(
    task: Literal["predict", "backtest"], size: int, order: list[PlannedProduct]
) -> None:
    """A product's bytes, and the summary, are the same however products are cut into chunks and ordered."""
    whole, parts = in_chunks(PLAN, len(PLAN), task), in_chunks(tuple(order), size, task)
    assert by_product(parts) == by_product(whole)
    one, other = (merge([result.summary for result in results]) for results in (whole, parts))
    for resumo in (one, other):  # which products are listed first is the only thing that follows the order
        for listing in ("failed", "not_measured"):
            resumo.setdefault(listing, {}).pop("products", None)
    assert json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def test_prediction_begins_the_week_after_the_newest() -> None:
    """Thirteen weeks follow the newest week that any product has, also where the product itself stopped before."""
    stopped = rows(noisy(40), last=AS_OF - timedelta(weeks=4))
    (forecast,) = compute_chunk(request({"p": stopped})).forecasts
    assert forecast.first_week == AS_OF + timedelta(weeks=1)
    assert forecast.volume.shape == (13, 5)
    assert forecast.revenue is not None
    assert forecast.revenue == pytest.approx(2 * forecast.volume, abs=1e-3)


def test_bad_products_do_not_disturb_their_neighbours() -> None:
    """Each product that cannot be computed fails by itself with its code; the others are as if it were not there."""
    result = compute_chunk(request(MIXED, PLAN))
    assert [(failure.product_id, failure.code) for failure in result.failures] == [
        ("empty", "no-data"),
        ("bad", "invalid-data"),
    ]
    assert len(result.forecasts) == len(MIXED) - 2


def test_product_that_never_sold_is_forecast_as_zero() -> None:
    """Rows without one sale give a forecast of zero rather than a failure, and the summary says so."""
    result = compute_chunk(request({"p": rows([0, 0])}))
    assert (result.forecasts[0].volume == 0).all()
    resumo = merge([result.summary])
    assert resumo["history_rules"] == {"never-sold": 1}
    assert resumo["fallbacks"] == {"never sold": 1}
    assert resumo["without_price"] == 1


def test_all_models_failing_is_the_products_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """When no model of the plan works the message says what each did."""
    monkeypatch.setattr("consumer.forecasting.fitting.LOCAL_MODELS", {})
    (failure,) = compute_chunk(request({"p": rows([1, 2])})).failures
    assert failure.code == "model-failed"
    assert failure.message == "SIMPLE_ETS failed (not trained); NAIVE failed (not trained)"


def test_revenue_that_cannot_be_stored_is_the_products_failure() -> None:
    """A price that makes revenue too large for the database fails that product only."""
    histories = {"dear": rows(noisy(20)), "fine": rows(noisy(20))}
    result = compute_chunk(request(histories, [planned("dear", price=1e9), planned("fine")]))
    assert [failure.code for failure in result.failures] == ["out-of-range"]
    assert [forecast.product_id for forecast in result.forecasts] == ["fine"]


def test_backtest_sees_nothing_of_the_holdout() -> None:
    """The forecasts of a backtest are those that a predict at the cut would have made, whatever came after."""
    known = noisy(52)
    calm, wild = (rows([*known, *after]) for after in ([20.0] * 13, [1000.0] * 13))
    (predicted,) = compute_chunk(request({"p": rows(known)})).forecasts
    for history, actual in ((calm, 20.0), (wild, 1000.0)):
        metric = compute_chunk(request({"p": history}, task="backtest")).metrics[0]
        assert metric.bias == pytest.approx(float((predicted.volume[:, 2] - actual).mean()), abs=1e-3)


def test_backtest_measures_the_moving_average_beside_the_model() -> None:
    """Each product has a row of its model and one of the baseline, and the baseline is not doubled."""
    histories = {"a": rows(noisy(60)), "b": rows(noisy(60))}
    plan = [planned("a"), planned("b", (Variant.MOVING_AVERAGE_12,))]
    metrics = compute_chunk(request(histories, plan, task="backtest")).metrics
    assert [(metric.product_id, metric.variant) for metric in metrics] == [
        ("a", Variant.SIMPLE_ETS),
        ("a", Variant.MOVING_AVERAGE_12),
        ("b", Variant.MOVING_AVERAGE_12),
    ]


@pytest.mark.parametrize("ended", [False, True])
def test_the_baseline_is_the_plain_mean_of_twelve_weeks(*, ended: bool) -> None:
    """Not its own median, and not another model where demand has ended: else models are compared with themselves."""
    known = [*noisy(60), *([0.0] * 26 if ended else [90.0, 3.0, 2.0])]
    history = {"p": rows([*known, *[40.0] * 13])}
    (_, baseline) = compute_chunk(request(history, task="backtest")).metrics
    assert baseline.bias == pytest.approx(np.mean(known[-12:]) - 40.0, abs=1e-3)


def test_trained_models_that_are_lost_leave_a_forecast() -> None:
    """The most valuable products are planned with LGBM alone by the table; without its files ETS forecasts them."""
    plan = select(PadraoDemanda.REGULAR, ClasseABC.A, 60, available=frozenset(Variant) - {Variant.TFT})
    result = compute_chunk(request({"p": rows(noisy(60))}, [planned("p", plan.models)]))
    assert result.failures == ()
    assert result.forecasts[0].variant is Variant.AUTO_ETS


@pytest.mark.parametrize("models", [(Variant.NAIVE,), ()])
def test_product_newer_than_the_holdout_is_not_measured_and_no_failure(models: tuple[Variant, ...]) -> None:
    """What was first sold in the holdout cannot be measured; it is counted, and the execution is not PARCIAL."""
    result = compute_chunk(request({"p": rows([1.0] * 13)}, [planned("p", models)], task="backtest"))
    assert (result.metrics, result.failures) == ((), ())
    assert merge([result.summary])["not_measured"] == {"count": 1, "products": ["p"]}


@pytest.mark.parametrize("volume", [[1.0] * 14, [5.0, *[0.0] * 60], [1e9] * 30, [*noisy(30), -50, *noisy(30)]])
@pytest.mark.parametrize("task", ["predict", "backtest", "train"])
def test_odd_histories_are_computed(
    volume: list[float], task: Literal["train", "predict", "backtest"], recwarn: pytest.WarningsRecorder
) -> None:
    """One week known, ended long ago, huge volumes and returns all give a result without a warning."""
    history: dict[str, Rows] = {"p": rows(volume)}
    result = compute_chunk(request(history, [planned("p", (Variant.AUTO_ETS, Variant.NAIVE))], task=task))
    assert result.failures == ()
    assert not [warning for warning in recwarn if issubclass(warning.category, RuntimeWarning)]


def test_request_and_result_travel_between_processes() -> None:
    """Request and result survive pickling, which the process pool does."""
    sent = pickle.loads(pickle.dumps(request(MIXED, PLAN)))  # noqa: S301 - what the process pool does
    result = pickle.loads(pickle.dumps(compute_chunk(sent)))  # noqa: S301 - what the process pool does
    assert by_product([result]) == by_product([compute_chunk(request(MIXED, PLAN))])
    json.dumps(result.summary)


def test_warm_up_limits_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model process uses one thread a library, so that processes do not fight for the cores."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    import os  # noqa: PLC0415 - read after the patch

    import threadpoolctl  # noqa: PLC0415 - loaded by what is tested

    with threadpoolctl.threadpool_limits():
        warm_up()
        assert os.environ["OMP_NUM_THREADS"] == "1"
        assert {pool["num_threads"] for pool in threadpoolctl.threadpool_info()} <= {1}
