"""LightGBM's trees, asked for all weeks of a product at once."""

from __future__ import annotations

import json

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.forecasting.global_model.feature_rows import feature_rows, latest_values
from consumer.forecasting.global_model.features import NAMES, OF_WEEK, latest_origins
from consumer.forecasting.global_model.forest import Forest
from consumer.forecasting.global_model.model_text import bare, read
from consumer.forecasting.global_model.tree import Split, Tree
from schemas.enums import TargetType
from tests.unit.forecasting.panels import artefact, panel_of, world

OF_PRODUCT, ALL = 3, 5  # features of the small models below


def fitted(rng: np.random.Generator, leaves: int, missing: float) -> lightgbm.Booster:
    """A small model of noise, some of whose values are missing and some zero."""
    data = rng.normal(size=(600, ALL)).round(1)
    data[rng.random(data.shape) < missing] = np.nan
    demand = np.nansum(data, axis=1) + rng.normal(size=len(data))
    parameters = {"objective": "quantile", "alpha": 0.6, "num_leaves": leaves, "min_data_in_leaf": 5, "verbosity": -1}
    return lightgbm.train({**parameters, "num_threads": 1}, lightgbm.Dataset(data, demand), 8)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    leaves=st.integers(2, 16),
    missing=st.sampled_from((0.0, 0.3)),
    asked=st.sampled_from((0.0, 0.5, 1.0)),
)
def test_sums_are_those_of_lightgbm_to_the_last_bit(seed: int, leaves: int, missing: float, asked: float) -> None:
    """Whatever is missing, also what was not when the model learned."""
    rng = np.random.default_rng(seed)
    booster = fitted(rng, leaves, missing)
    weeks, products = int(rng.integers(1, 5)), int(rng.integers(1, 7))
    values = rng.normal(size=(ALL, weeks, products)).round(1)
    values[:OF_PRODUCT] = values[:OF_PRODUCT, :1]
    hidden = rng.random(values.shape) < asked
    hidden[:OF_PRODUCT] = hidden[:OF_PRODUCT, :1]
    values[hidden] = np.nan
    forest = Forest(read(bare(booster.model_to_string()), ALL), OF_PRODUCT, ALL - OF_PRODUCT)
    sums = forest.sums(values[:OF_PRODUCT, 0], values[OF_PRODUCT:])
    expected = booster.predict(values.reshape(ALL, -1).T).reshape(weeks, products)
    assert sums.tobytes() == expected.tobytes()


@pytest.mark.parametrize("target", list(TargetType))
def test_a_trained_model_gives_what_lightgbm_gives(target: TargetType) -> None:
    """On the rows that it would be asked for, a product's week each."""
    panel = panel_of(world())
    products, weeks = len(panel.product_ids), 13
    origins = latest_origins(panel, target)
    index, ahead = np.repeat(np.arange(products), weeks), np.tile(np.arange(1, weeks + 1), products)
    rows = feature_rows(panel, target, origins, index, ahead)
    for text in json.loads(artefact())["boosters"]:
        forest = Forest(read(text, len(NAMES)), len(NAMES) - len(OF_WEEK), len(OF_WEEK))
        sums = forest.sums(*latest_values(panel, target, origins, weeks))
        assert sums.T.ravel().tobytes() == lightgbm.Booster(model_str=text).predict(rows).tobytes()


def test_a_split_of_what_is_missing_sends_all_that_is_known_left() -> None:
    """LightGBM writes an infinite threshold for it."""
    forest = Forest([Tree((Split(0, np.inf, missing_left=False, left=~0, right=~1),), (1.0, 2.0))], 1, 0)
    assert forest.sums(np.array([[-1e30, 1e30, np.nan]]), np.empty((0, 1, 3))).tolist() == [[1.0, 1.0, 2.0]]
