"""The yearly season of automatic ETS."""

from __future__ import annotations

import numpy as np
import pytest

from consumer.forecasting.models.ets import AutoEts, years_resemble_each_other

WEEKS = 117


def demand(swing: float, seed: int, weeks: int = WEEKS, growth: float = 0.0, phase: float = 0.0) -> np.ndarray:
    """Counts around 40 a week, with a wave of a year that begins at a share of it."""
    wave = 1 + swing * np.sin(2 * np.pi * (np.arange(weeks) / 52 + phase))
    rate = (40 + growth * np.arange(weeks)) * wave
    return np.random.default_rng(seed).poisson(rate).astype(np.float64)


def test_a_yearly_wave_is_followed_where_two_years_show_it() -> None:
    """With two years of a wave the median stays near the 13 weeks to come, which turn where the last ones did not."""
    history = demand(0.6, seed=1)
    forecast = AutoEts().fit_predict(history[:-13], 13, 0)
    level = history[-26:-13].mean()
    assert np.abs(forecast[:, 2] - history[-13:]).mean() < 0.6 * np.abs(level - history[-13:]).mean()
    assert (np.diff(forecast, axis=-1) >= 0).all()


def test_the_band_of_a_season_covers_what_it_says() -> None:
    """A season averaged over two years hides noise; the band is widened by as much."""
    inside = []
    for seed in range(40):
        history = demand(0.6, seed, phase=seed / 40)
        forecast = AutoEts().fit_predict(history[:-13], 13, 0)
        inside.append((history[-13:] >= forecast[:, 0]) & (history[-13:] <= forecast[:, 4]))
    assert 0.72 <= np.mean(inside) <= 0.9


@pytest.mark.parametrize("growth", [0.0, 0.5])
def test_noise_and_growth_are_no_season(growth: float) -> None:
    """At most about one history of noise in twenty is taken for seasonal, with or without a trend."""
    found = [years_resemble_each_other(demand(0.0, seed, 104, growth)) for seed in range(100)]
    assert np.mean(found) <= 0.1


def test_a_history_that_never_changes_has_no_season() -> None:
    """A constant has no correlation with itself."""
    assert not years_resemble_each_other(np.full(120, 7.0))
