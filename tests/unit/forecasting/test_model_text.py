"""LightGBM's own reader ends the process when a text is damaged, so nothing damaged may reach it."""

from __future__ import annotations

import json
import re
from functools import lru_cache

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.forecasting.global_model.features import NAMES
from consumer.forecasting.global_model.model_text import bare, check
from tests.unit.forecasting.panels import artefact

FEATURES = len(NAMES)


@lru_cache(maxsize=1)
def text() -> str:
    found: str = json.loads(artefact())["boosters"][2]
    return found


def replaced(name: str, value: str) -> str:
    """The first line of that name changed, in as many characters as it had: sizes stay right."""
    line = re.search(rf"^{name}=.*$", text(), re.MULTILINE)
    assert line is not None
    return text().replace(line[0], f"{name}={value}".ljust(len(line[0]))[: len(line[0])], 1)


def test_what_was_fitted_is_read() -> None:
    """The text without the training's parameters forecasts the same."""
    assert check(text(), FEATURES) == text()
    assert "parameters:" not in text()
    rng = np.random.default_rng(1)
    data = rng.random((400, 3))
    constant = lightgbm.train({"verbosity": -1}, lightgbm.Dataset(np.zeros((400, 3)), data[:, 0]), 2)
    for model in (constant, lightgbm.train({"verbosity": -1}, lightgbm.Dataset(data, data[:, 0]), 2)):
        whole = model.model_to_string().replace("objective=regression", "objective=quantile")
        kept = lightgbm.Booster(model_str=check(bare(whole), 3))
        np.testing.assert_array_equal(kept.predict(data), model.predict(data))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("left_child", "0", "tree 0"),
        ("right_child", "99 99 99 99 99 99", "tree 0"),
        ("split_feature", "9999", "tree 0"),
        ("leaf_value", "nan", "tree 0: leaf_value must be finite"),
        ("num_leaves", "9", "tree 0: num_leaves"),
        ("num_cat", "1", "tree 0: num_cat"),
        ("is_linear", "1", "tree 0: is_linear"),
        ("tree_sizes", "5", "tree 0"),
        ("max_feature_idx", "2", "header: max_feature_idx"),
        ("objective", "custom", "header: objective"),
        ("version", "v9", "header: version"),
    ],
)
def test_a_changed_line_is_refused(name: str, value: str, message: str) -> None:
    """The message says which."""
    with pytest.raises(ValueError, match=message):
        check(replaced(name, value), FEATURES)


@settings(max_examples=150, deadline=None)
@given(
    first=st.integers(0, 30_000),
    length=st.integers(0, 400),
    inserted=st.text(alphabet="0123456789-= .e\nnumleavs_", max_size=12),
)
def test_damage_is_refused_or_harmless(first: int, length: int, inserted: str) -> None:
    """Whatever part is cut out or overwritten: an error, or a model that forecasts finite numbers."""
    damaged = text()[:first] + inserted + text()[first + length :]
    try:
        model = lightgbm.Booster(model_str=check(damaged, FEATURES))
    except (ValueError, lightgbm.basic.LightGBMError):
        return
    found = model.predict(np.full((2, FEATURES), 0.5))
    assert np.isfinite(found).all()
