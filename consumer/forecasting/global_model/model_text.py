"""LightGBM's text format, checked before LightGBM reads it: given a damaged text it ends the process, not the call.

Only what predicting needs is kept: the header and the trees, without the parameters of the training.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from consumer.forecasting.types import FloatArray

LARGEST: Final = 50_000_000
_END: Final = "end of trees\n"
_TREE: Final = "Tree="
_HEADER: Final = {"version": "v4", "num_class": "1", "num_tree_per_iteration": "1", "objective": "quantile"}
_OF_TREE: Final = {"num_cat": "0", "is_linear": "0"}
_OF_FEATURES: Final = ("feature_names", "feature_infos")
_HEADER_NAMES: Final = {*_HEADER, *_OF_FEATURES, "label_index", "max_feature_idx", "tree_sizes"}
_OF_LEAF: Final = ("leaf_value", "leaf_weight", "leaf_count")
_OF_SPLIT: Final = (
    *("split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child"),
    *("internal_value", "internal_weight", "internal_count"),
)
_TREE_NAMES: Final = {"Tree", "num_leaves", *_OF_TREE, *_OF_LEAF, *_OF_SPLIT, "shrinkage"}
_NUMBERS: Final = re.compile(r"[-+0-9.e ]*")
_INFINITE: Final = re.compile(r"(?<!\S)inf(?!\S)")  # a split of what is missing from all that is known


def bare(text: str) -> str:
    """Cut off what follows the trees."""
    return text[: text.index(_END) + len(_END)]


def check(text: object, features: int) -> str:
    """Give the text back if every tree of it can be walked.

    Raises:
        ValueError: It is no model that ``bare`` gave; the message says where.
    """
    if not isinstance(text, str) or len(text) > LARGEST or not text.isascii():
        raise ValueError(f"it must be a plain text of at most {LARGEST} characters")
    if not text.startswith("tree\n") or not text.endswith(_END) or _TREE not in text:
        raise ValueError("it must begin with 'tree', have trees and end with 'end of trees'")
    start = text.index(_TREE)
    header = _fields(text[:start])
    _require(header, _HEADER | {"label_index": "0", "max_feature_idx": str(features - 1)}, "header")
    if set(header) != _HEADER_NAMES or any(len(header[name].split()) != features for name in _OF_FEATURES):
        raise ValueError(f"header: it must have {', '.join(sorted(_HEADER_NAMES))}, of {features} features")
    at = start
    for number, size in enumerate(header.get("tree_sizes", "").split()):
        if not size.isdigit() or not text.startswith(f"{_TREE}{number}\n", at):
            raise ValueError(f"tree {number} does not begin where tree_sizes says")
        _check_tree(_fields(text[at : at + int(size)]), number, features)
        at += int(size)
    if at == start or text[at:] != _END:
        raise ValueError("tree_sizes does not cover all trees")
    return text


def _check_tree(fields: Mapping[str, str], number: int, features: int) -> None:
    where = f"tree {number}"
    _require(fields, _OF_TREE, where)
    if not set(fields) <= _TREE_NAMES or _values(fields, "shrinkage", where).size != 1:
        raise ValueError(f"{where}: it must have no other lines than {', '.join(sorted(_TREE_NAMES))}")
    leaves = _values(fields, "leaf_value", where).size
    _require(fields, {"num_leaves": str(leaves)}, where)
    splits = {name: _values(fields, name, where) for name in _OF_SPLIT}
    if leaves == 1 and not any(values.size for values in splits.values()):
        return  # nothing was left to split by
    if any(_values(fields, name, where).size != leaves for name in _OF_LEAF) or any(
        values.size != leaves - 1 for values in splits.values()
    ):
        raise ValueError(f"{where}: the numbers of its leaves and splits are not as many as num_leaves says")
    feature = splits["split_feature"]
    if feature.min() < 0 or feature.max() >= features:
        raise ValueError(f"{where}: split_feature must be between 0 and {features - 1}")
    for side in ("left_child", "right_child"):
        child, own = splits[side], np.arange(leaves - 1)
        # A child comes after its parent, or is a leaf (the complement of its number): so no walk goes in circles.
        if not np.where(child < 0, child >= -leaves, (child > own) & (child < leaves - 1)).all():
            raise ValueError(f"{where}: {side} leads out of the tree")


def _fields(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


def _require(fields: Mapping[str, str], expected: Mapping[str, str], where: str) -> None:
    for name, value in expected.items():
        if fields.get(name) != value:
            raise ValueError(f"{where}: {name} is {str(fields.get(name))[:40]!r}, it must be {value!r}")


def _values(fields: Mapping[str, str], name: str, where: str) -> FloatArray:
    text = fields.get(name, "")
    if name == "threshold":
        text = _INFINITE.sub("0", text)
    try:
        values = np.array(text.split() if _NUMBERS.fullmatch(text) else [np.nan], dtype=np.float64)
    except ValueError:
        values = np.array([np.nan])
    if not np.isfinite(values).all():
        raise ValueError(f"{where}: {name} must be finite numbers")
    return values
