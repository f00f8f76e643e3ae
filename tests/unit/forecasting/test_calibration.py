"""Quantiles moved so that as many weeks lie below each as its name says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.forecasting.calibration import PATTERNS, Levels, Scores, calibrated, levels, valid_shifts
from consumer.forecasting.types import QUANTILES
from schemas.enums import TargetType
from tests.unit.forecasting.panels import panel_of

PRODUCTS, WEEKS = 400, 13
REGULAR, LUMPY = 0, PATTERNS.index("LUMPY")


def demand(seed: int, zeros: float) -> tuple[np.ndarray, np.ndarray, Levels, np.ndarray]:
    """Actual demand, forecasts that are too narrow, levels and patterns."""
    rng = np.random.default_rng(seed)
    level = rng.gamma(3.0, 5.0, PRODUCTS) + 2
    sold = rng.random((PRODUCTS, WEEKS)) >= zeros
    actual = np.round(rng.gamma(4.0, level[:, None] / 4, (PRODUCTS, WEEKS))) * sold
    narrow = np.array([0.0, 0.2, 0.6, 0.8, 1.0] if zeros else [0.65, 0.8, 0.95, 1.1, 1.25])
    quantiles = np.repeat((level[:, None] * narrow)[:, None, :], WEEKS, axis=1)
    often = np.clip(1 - zeros + rng.normal(0, 0.1, PRODUCTS), 0.05, 1)
    return (
        actual,
        quantiles,
        Levels(level, often, np.zeros(PRODUCTS, dtype=bool)),
        np.full(PRODUCTS, LUMPY if zeros else REGULAR),
    )


@pytest.mark.parametrize("zeros", [0.0, 0.35])
def test_other_weeks_are_covered_as_often_as_the_names_say(zeros: float) -> None:
    """Learned on some products' weeks, the bands hold on other ones, also where a third of the weeks is empty."""
    scores = Scores()
    actual, quantiles, known, pattern = demand(1, zeros)
    scores.add(actual, quantiles, known, pattern)
    actual, quantiles, known, pattern = demand(2, zeros)
    before = np.mean((actual >= quantiles[..., 0]) & (actual <= quantiles[..., 4]))
    found = calibrated(quantiles, known, pattern, scores.shifts())
    assert abs(before - 0.8) > 0.04
    assert np.mean((actual >= found[..., 0]) & (actual <= found[..., 4])) == pytest.approx(0.8, abs=0.03)
    assert np.mean((actual >= found[..., 1]) & (actual <= found[..., 3])) == pytest.approx(0.5, abs=0.03)


finite = st.floats(-50, 50)


@settings(max_examples=60)
@given(
    rows=st.lists(st.tuples(*[finite] * 5), min_size=1, max_size=5),
    shifts=st.tuples(*[st.floats(-3, 3)] * 5),
    product=st.tuples(st.floats(0, 20), st.booleans()),
)
def test_calibrated_is_tidy_and_keeps_the_median(
    rows: list[tuple[float, ...]], shifts: tuple[float, ...], product: tuple[float, bool]
) -> None:
    """Never negative, never crossing, and p50 is the model's own, in whole units where nothing else was sold."""
    quantiles, (level, whole) = np.sort(np.array(rows))[None], product
    known = Levels(np.array([level]), np.array([0.5]), np.array([whole]))
    found = calibrated(quantiles, known, np.array([REGULAR]), {name: list(shifts) for name in PATTERNS})
    assert (found >= 0).all()
    assert (np.diff(found, axis=-1) >= 0).all()
    median = np.maximum(np.floor(quantiles[..., 2] + 0.5) if whole else quantiles[..., 2], 0)
    np.testing.assert_array_equal(found[..., 2], median)


@settings(max_examples=10, deadline=None)
@given(cut=st.integers(1, PRODUCTS - 1))
def test_scores_of_chunks_add_up(cut: int) -> None:
    """Through JSON, in any order, the counts are those of all products together."""
    actual, quantiles, known, pattern = demand(3, 0.2)
    whole, sum_of_parts = Scores(), Scores()
    whole.add(actual, quantiles, known, pattern)
    for part in (slice(cut, None), slice(cut)):
        some = Scores()
        own = Levels(known.level[part], known.often[part], known.whole[part])
        some.add(actual[part], quantiles[part], own, pattern[part])
        sum_of_parts.add_json(some.to_json())
    np.testing.assert_array_equal(sum_of_parts.counts, whole.counts)


def test_a_pattern_that_was_hardly_seen_borrows_from_all() -> None:
    """One lumpy product does not decide what lumpy products get; and nothing seen is nothing moved."""
    scores = Scores()
    actual, quantiles, known, pattern = demand(4, 0.0)
    scores.add(actual, quantiles, known, pattern)
    lonely = Levels(known.level[:1], known.often[:1], known.whole[:1])
    scores.add(np.full((1, 5), 1e6), quantiles[:1, :5], lonely, np.array([LUMPY]))
    shifts = scores.shifts()
    assert shifts["LUMPY"] == pytest.approx(shifts["REGULAR"], abs=0.05)
    assert Scores().shifts() == {}
    np.testing.assert_array_equal(calibrated(quantiles, known, pattern, {}), quantiles)


def test_a_product_without_a_level_is_not_scored() -> None:
    """Nothing can be divided by zero."""
    scores = Scores()
    quantiles = np.zeros((1, 2, len(QUANTILES)))
    scores.add(
        np.ones((1, 2)), quantiles, Levels(np.zeros(1), np.zeros(1), np.zeros(1, dtype=bool)), np.array([REGULAR])
    )
    assert not scores.counts.any()


def test_levels_are_half_old_and_half_recent() -> None:
    """Of volume and of the share of weeks with a sale."""
    found = levels(panel_of({"p": [4.0] * 13 + [0.0] * 7 + [2.0] * 6}), TargetType.VOLUME)
    everything, recent = (13 * 4 + 6 * 2) / 26, 6 * 2 / 13
    assert found.level.tolist() == pytest.approx([(everything + recent) / 2])
    assert found.often.tolist() == pytest.approx([(19 / 26 + 6 / 13) / 2])
    whole = levels(panel_of({"units": [1, 0, 3], "weighed": [1, 0.5, 3]}), TargetType.VOLUME).whole
    assert whole.tolist() == [True, False]
    assert not levels(panel_of({"units": [1, 0, 3]}), TargetType.FATURAMENTO).whole.any()


@pytest.mark.parametrize("value", [None, [], {"REGULAR": [1] * 5}, {name: [1] * 4 for name in PATTERNS}])
def test_shifts_of_a_file_are_checked(value: object) -> None:
    """Five finite numbers a pattern, or nothing."""
    with pytest.raises(ValueError, match="shifts must"):
        valid_shifts(value)
    with pytest.raises(ValueError, match="finite"):
        valid_shifts({name: [1, 2, float("nan"), 4, 5] for name in PATTERNS})
    assert valid_shifts({}) == {}
