"""What is read of LightGBM's text: all of its trees, or an error that says where it is none."""

from __future__ import annotations

import json
import re
from functools import lru_cache

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.forecasting.global_model.booster import ROUNDS
from consumer.forecasting.global_model.features import NAMES, OF_WEEK
from consumer.forecasting.global_model.forest import Forest
from consumer.forecasting.global_model.model_text import bare, read
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


def test_all_trees_are_read_and_no_more() -> None:
    """The parameters of the training are not kept."""
    trees = read(text(), FEATURES)
    assert len(trees) == ROUNDS
    assert all(len(tree.splits) == len(tree.leaves) - 1 for tree in trees)
    assert "parameters:" not in text()


def test_a_tree_may_have_one_leaf() -> None:
    """Of demand that is the same everywhere."""
    data = lightgbm.Dataset(np.zeros((400, 3)), np.full(400, 2.5))
    fitted = lightgbm.train({"verbosity": -1, "objective": "quantile", "alpha": 0.5}, data, 2)
    assert {(tree.splits, len(tree.leaves)) for tree in read(bare(fitted.model_to_string()), 3)} == {((), 1)}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("left_child", "0", "tree 0"),
        ("right_child", "99 99 99 99 99 99", "tree 0"),
        ("split_feature", "9999", "tree 0"),
        ("leaf_value", "nan", "tree 0: leaf_value must be finite"),
        ("num_leaves", "9", "tree 0: num_leaves"),
        ("decision_type", "4 4 4 4 4 4", "tree 0: decision_type"),
        ("threshold", "nan", "tree 0: threshold must be finite"),
        ("threshold", "", "tree 0: the numbers of its splits"),
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
        read(replaced(name, value), FEATURES)


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
        trees = read(damaged, FEATURES)
    except ValueError:
        return
    forest = Forest(trees, FEATURES - len(OF_WEEK), len(OF_WEEK))
    found = forest.sums(np.full((FEATURES - len(OF_WEEK), 2), 0.5), np.full((len(OF_WEEK), 3, 2), 0.5))
    assert np.isfinite(found).all()
