"""LightGBM's text format: of it what predicting needs, every number checked."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from consumer.forecasting.global_model.tree import MOST_LEAVES, Split, Tree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LARGEST: Final = 50_000_000
_END: Final = "end of trees\n"
_TREE: Final = "Tree="
_HEADER: Final = {"version": "v4", "num_class": "1", "num_tree_per_iteration": "1", "objective": "quantile"}
_OF_TREE: Final = {"num_cat": "0", "is_linear": "0"}
# Bits of decision_type: a category (1), NaN goes left (2), a zero is missing (4), NaN is missing (8).
_NAN_LEFT: Final = 2
_NAN_IS_MISSING: Final = 8
_DECISIONS: Final = (0, _NAN_LEFT, _NAN_IS_MISSING, _NAN_IS_MISSING | _NAN_LEFT)


def bare(text: str) -> str:
    """Cut off what follows the trees: the parameters of the training."""
    return text[: text.index(_END) + len(_END)]


def read(text: object, features: int) -> tuple[Tree, ...]:
    """Give the trees of a text.

    Args:
        features: How many the model must have been fitted with.

    Raises:
        ValueError: It is no model that ``bare`` gave; the message says where.
    """
    if not isinstance(text, str) or len(text) > LARGEST or not text.isascii():
        raise ValueError(f"it must be a plain text of at most {LARGEST} characters")
    if not text.startswith("tree\n") or not text.endswith(_END) or _TREE not in text:
        raise ValueError("it must begin with 'tree', have trees and end with 'end of trees'")
    at = text.index(_TREE)
    header = _fields(text[:at])
    _require(header, _HEADER | {"label_index": "0", "max_feature_idx": str(features - 1)}, "header")
    trees: list[Tree] = []
    for number, size in enumerate(header.get("tree_sizes", "").split()):
        if not size.isdigit() or not text.startswith(f"{_TREE}{number}\n", at):
            raise ValueError(f"tree {number} does not begin where tree_sizes says")
        trees.append(_tree(_fields(text[at : at + int(size)]), f"tree {number}", features))
        at += int(size)
    if not trees or text[at:] != _END:
        raise ValueError("tree_sizes does not cover all trees")
    return tuple(trees)


def _tree(fields: Mapping[str, str], where: str, features: int) -> Tree:
    _require(fields, _OF_TREE, where)
    leaves = _numbers(fields, "leaf_value", where)
    if not leaves or len(leaves) > MOST_LEAVES or fields.get("num_leaves") != str(len(leaves)):
        raise ValueError(f"{where}: num_leaves must be the number of its leaves, from 1 to {MOST_LEAVES}")
    splits = len(leaves) - 1
    feature = _whole(fields, "split_feature", where, range(features))
    threshold = _numbers(fields, "threshold", where, infinite=True)
    decision = _whole(fields, "decision_type", where, _DECISIONS)
    left, right = (_whole(fields, f"{side}_child", where, range(-len(leaves), splits)) for side in ("left", "right"))
    if any(len(numbers) != splits for numbers in (feature, threshold, decision, left, right)):
        raise ValueError(f"{where}: the numbers of its splits are not as many as num_leaves says")
    # A child comes after its parent, and each has one parent: so every walk from the first split ends in a leaf.
    backwards = any(0 <= child <= at for side in (left, right) for at, child in enumerate(side))
    each_once = [*range(-len(leaves), 0), *range(1, splits)] if splits else []
    if backwards or sorted(left + right) != each_once:
        raise ValueError(f"{where}: left_child and right_child do not lead to each leaf once")
    rows = zip(feature, threshold, map(_missing_left, decision, threshold), left, right, strict=True)
    return Tree(tuple(Split(*row) for row in rows), tuple(leaves))


def _missing_left(decision: int, threshold: float) -> bool:
    # A feature that was never missing in the training has no side for NaN: LightGBM takes it for a zero.
    return bool(decision & _NAN_LEFT) if decision & _NAN_IS_MISSING else threshold >= 0


def _fields(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


def _require(fields: Mapping[str, str], expected: Mapping[str, str], where: str) -> None:
    for name, value in expected.items():
        if fields.get(name) != value:
            raise ValueError(f"{where}: {name} is {str(fields.get(name))[:40]!r}, it must be {value!r}")


def _numbers(fields: Mapping[str, str], name: str, where: str, *, infinite: bool = False) -> list[float]:
    try:
        numbers = [float(word) for word in fields.get(name, "").split()]
    except ValueError:
        numbers = [math.nan]
    if not all(math.isfinite(number) or (infinite and number == math.inf) for number in numbers):
        raise ValueError(f"{where}: {name} must be finite numbers")
    return numbers


def _whole(fields: Mapping[str, str], name: str, where: str, allowed: Sequence[int]) -> list[int]:
    try:
        numbers = [int(word) for word in fields.get(name, "").split()]
    except ValueError:
        numbers = [max(allowed) + 1]
    if not all(number in allowed for number in numbers):
        raise ValueError(f"{where}: {name} must be whole numbers of {list(allowed)}")
    return numbers
