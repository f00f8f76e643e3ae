from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from consumer.forecasting.fitting import AllModelsFailedError, fit_first, product_seed
from consumer.forecasting.history import History, for_fitting
from consumer.forecasting.models import LOCAL_MODELS
from consumer.forecasting.quantiles import WIDENING, _five_quantiles, level_quantiles, tidy
from consumer.forecasting.types import QUANTILES, FloatArray, Variant
from tests.unit.forecasting.builders import LOCAL, noisy

KNOWN_SEED = 5813165219628239838
HISTORIES = st_numpy.arrays(
    np.float64,
    st.integers(1, 60),
    elements=st.sampled_from([0.0, 0.0, 1.0, 2.0, 17.0, 1e-4, 9e9]) | st.floats(0, 1e6),
)


def history(volume: FloatArray) -> History:
    return for_fitting(History(volume, volume))


@pytest.mark.parametrize("variant", LOCAL)
@settings(max_examples=40, deadline=None)
@given(volume=HISTORIES, horizon=st.integers(1, 52))
def test_quantiles_are_finite_ordered_and_not_negative(variant: Variant, volume: FloatArray, horizon: int) -> None:
    """Whatever the history, a forecast that is taken can be stored and read: finite, ordered, not negative."""
    try:
        fit = fit_first((variant, Variant.NAIVE), history(volume), horizon, 1)
    except AllModelsFailedError:
        assert volume.max() > 1e9
        return
    assert fit.quantiles.shape == (horizon, 5)
    assert np.isfinite(fit.quantiles).all()
    assert (fit.quantiles >= 0).all()
    assert (np.diff(fit.quantiles, axis=1) >= 0).all()
    assert fit.quantiles.max() < 1e10


@pytest.mark.parametrize("variant", LOCAL)
def test_every_model_finds_the_level_of_steady_demand(variant: Variant) -> None:
    """Around Poisson demand of 20 every model's median is near 20 and its band has a sensible width."""
    quantiles = LOCAL_MODELS[variant].fit_predict(noisy(52), 13, 1)
    assert 12 < quantiles[:, 2].mean() < 28
    assert 6 < (quantiles[:, 4] - quantiles[:, 0]).mean() < 25


@pytest.mark.parametrize("variant", LOCAL)
def test_the_same_seed_gives_the_same_bytes(variant: Variant) -> None:
    """A model called twice with the same arguments gives the same numbers."""
    first, second = (LOCAL_MODELS[variant].fit_predict(noisy(52, 4, share_of_zeros=0.5), 9, 3) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_bootstrap_depends_on_its_seed_only() -> None:
    """Another seed draws other paths."""
    model, volume = LOCAL_MODELS[Variant.BOOTSTRAP], noisy(52, 4, share_of_zeros=0.5)
    assert model.fit_predict(volume, 9, 3).tobytes() != model.fit_predict(volume, 9, 4).tobytes()


def test_two_years_may_have_a_trend() -> None:
    """With 104 weeks automatic ETS follows a clear trend, with fewer it does not."""
    growing = np.arange(1.0, 105) * 3 + noisy(104, 3)
    model = LOCAL_MODELS[Variant.AUTO_ETS]
    long, short = model.fit_predict(growing, 13, 0), model.fit_predict(growing[-60:], 13, 0)
    assert long[-1, 2] > long[0, 2] + 20
    assert short[-1, 2] == pytest.approx(short[0, 2])


def test_moving_average_is_of_twelve_weeks() -> None:
    """Of constant demand after a change the average is the new level once 12 weeks have passed."""
    volume = np.array([100.0] * 10 + [5.0] * 12)
    quantiles = LOCAL_MODELS[Variant.MOVING_AVERAGE_12].fit_predict(np.concatenate((volume, [5.0] * 40)), 3, 0)
    assert quantiles[:, 2].tolist() == pytest.approx([5.0] * 3)


@given(st_numpy.arrays(np.float64, st.integers(1, 80), elements=st.floats(-1e6, 1e6)))
def test_five_quantiles_are_those_of_numpy(errors: FloatArray) -> None:
    """The fast path interpolates as the library does."""
    assert _five_quantiles(errors) == pytest.approx(np.quantile(errors, QUANTILES), rel=1e-9, abs=1e-9)


def test_band_comes_from_the_models_own_past_errors() -> None:
    """Errors of one to horizon weeks are those of the level that the model had at each origin."""
    volume = noisy(30)
    levels = np.concatenate(([np.nan], np.full(29, 20.0)))
    errors = [
        volume[origin + ahead] - levels[origin] for origin in range(4, 30) for ahead in range(5) if origin + ahead < 30
    ]
    expected = np.quantile(errors, QUANTILES)
    quantiles = level_quantiles(volume, levels, np.full(5, 20.0))
    assert quantiles[0, 4] - quantiles[0, 2] == pytest.approx(WIDENING * (expected[4] - expected[2]))


@pytest.mark.parametrize("empty", [26, 39, 60])
def test_growth_that_has_ended_does_not_lift_a_dead_level(empty: int) -> None:
    """Past errors upwards, of the weeks when it still grew, say nothing of a product that sells no more."""
    volume = np.concatenate((5.0 * np.arange(1, 79), np.zeros(empty)))
    quantiles = LOCAL_MODELS[Variant.TSB].fit_predict(volume, 13, 0)
    assert quantiles[:, 2].max() < 5
    assert quantiles[:, 4].max() < 10


def test_new_product_has_a_wide_band() -> None:
    """With fewer than eight weeks the band is that of new products, not of the few errors there are."""
    quantiles = level_quantiles(np.array([4.0]), np.array([np.nan]), np.full(2, 4.0))
    assert quantiles[0].tolist() == [0.0, pytest.approx(1.6), 4.0, 8.0, 16.0]


def test_tidy_lifts_what_crosses_and_cuts_what_is_negative() -> None:
    """Quantiles are ordered by lifting the higher one, and never below zero."""
    assert tidy(np.array([[-3.0, -1.0, 5.0, 4.0, 6.0]])).tolist() == [[0, 0, 5, 5, 6]]


class Broken:
    """A model that gives what it is told to, or raises it."""

    def __init__(self, outcome: float | Exception) -> None:
        self.outcome = outcome
        self.parameters: dict[str, object] = {}

    def fit_predict(self, history: FloatArray, horizon: int, seed: int) -> FloatArray:
        del history, seed
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return np.full((horizon, 5), self.outcome)


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (ZeroDivisionError("inside"), "AUTO_ETS failed (ZeroDivisionError)"),
        (np.nan, "AUTO_ETS failed (not finite)"),
        (np.inf, "AUTO_ETS failed (not finite)"),
        (1e6, "AUTO_ETS failed (more than 10 times the largest week)"),
    ],
)
def test_failing_model_falls_back_and_says_why(
    monkeypatch: pytest.MonkeyPatch, outcome: float | Exception, said: str
) -> None:
    """An exception, a number that is none and a blow-up each lead to the next model of the plan."""
    models = {**LOCAL_MODELS, Variant.AUTO_ETS: Broken(outcome)}
    monkeypatch.setattr("consumer.forecasting.fitting.LOCAL_MODELS", models)
    fit = fit_first((Variant.AUTO_ETS, Variant.NAIVE), history(noisy(50)), 4, 0)
    assert (fit.variant, fit.fallback) == (Variant.NAIVE, said)


def test_ended_demand_goes_to_tsb_first() -> None:
    """After half a year without a sale TSB is used whatever was planned, and its median is next to nothing."""
    fit = fit_first((Variant.CROSTON,), history(np.concatenate((noisy(40), np.zeros(27)))), 4, 0)
    assert (fit.variant, fit.fallback) == (Variant.TSB, "demand has ended")
    assert fit.quantiles[:, 2].max() < 1


def test_seed_of_a_product_is_its_own() -> None:
    """Seeds differ between products and executions and are the same in every process."""
    assert len({product_seed(1, "a"), product_seed(1, "b"), product_seed(2, "a")}) == 3
    assert product_seed(7, "p") == KNOWN_SEED
