"""LightGBM's trees, asked for all weeks of many products at once (ADR 0016). The sums are LightGBM's, to the last bit.

LightGBM answers a row at a time, and a row is a product's week; but nearly all splits ask for what the weeks of a
product have in common. The method is QuickScorer's (Lucchese and others, SIGIR 2015): an answer "right" rules out the
leaves on the left of its split, and a row ends in the first leaf from the left that nothing has ruled out. So splits
can be asked in any order: those about the product first, once for all its weeks.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from consumer.forecasting.global_model.tree import Split, Tree
    from consumer.forecasting.types import FloatArray, IntArray

Leaves = npt.NDArray[np.uint16]  # a bit a leaf, the lowest one is the first from the left
_LARGEST: Final = float(np.finfo(np.float64).max)


class Forest:
    """Trees whose leaves are added.

    Args:
        of_product: How many features the weeks of a product have in common: the first ones.
        of_week: How many come after these.
    """

    def __init__(self, trees: Iterable[Tree], of_product: int, of_week: int) -> None:
        self._leaves: list[FloatArray] = []
        self._of_week: list[list[_Question]] = []
        of_products: list[list[_Question]] = []
        for tree in trees:
            leaves, on_the_left = tree.from_the_left()
            self._leaves.append(np.array(leaves))
            self._of_week.append([])
            of_products.append([])
            for split, bits in zip(tree.splits, on_the_left, strict=True):
                if split.feature < of_product:
                    of_products[-1].append(_question(split, bits, 0, of_product))
                else:
                    self._of_week[-1].append(_question(split, bits, of_product, of_week))
        # The first question of every tree, then the second of every tree, and so on.
        self._of_product = [_of_all_trees(some) for some in zip_longest(*of_products, fillvalue=_NOTHING)]

    def sums(self, of_product: FloatArray, of_week: FloatArray) -> FloatArray:
        """Add the leaves that each week of each product ends in, in the order of the trees.

        Args:
            of_product: ``(features, n)``; NaN is missing.
            of_week: ``(features, weeks, n)``; NaN is missing.

        Returns:
            ``(weeks, n)``
        """
        product_values, week_values = _on_both_sides(of_product), _on_both_sides(of_week)
        ruled_out: Leaves = np.zeros((len(self._leaves), of_product.shape[1]), dtype=np.uint16)
        for questions in self._of_product:
            ruled_out |= questions.rule_out(product_values)
        sums = np.zeros(of_week.shape[1:])
        for values, of_all_weeks, own in zip(self._leaves, ruled_out, self._of_week, strict=True):
            of_weeks = np.repeat(of_all_weeks[None], len(sums), axis=0) if own else of_all_weeks
            for question in own:
                of_weeks |= question.rule_out(week_values)
            sums += values[_first_left(of_weeks)]
        return sums


@dataclass(frozen=True, slots=True)
class _Question:
    """Of one tree, or of every tree; ``place`` is that of the value, see ``_on_both_sides``."""

    place: int | IntArray
    threshold: float | FloatArray
    leaves: np.uint16 | Leaves

    def rule_out(self, values: FloatArray) -> Leaves:
        """Give the leaves that an answer rules out: those on the left where it is "right"."""
        result: Leaves = (values[self.place] > self.threshold) * self.leaves
        return result


_NOTHING: Final = _Question(0, np.inf, np.uint16(0))


def _question(split: Split, on_the_left: int, first: int, features: int) -> _Question:
    place = split.feature - first + (0 if split.missing_left else features)
    return _Question(place, min(split.threshold, _LARGEST), np.uint16(on_the_left))


def _of_all_trees(questions: Sequence[_Question]) -> _Question:
    columns: Any = zip(*((one.place, one.threshold, one.leaves) for one in questions), strict=True)
    place, threshold, leaves = map(np.array, columns)
    return _Question(place, threshold[:, None], leaves[:, None])


def _on_both_sides(values: FloatArray) -> FloatArray:
    """All features twice: what is missing is below every threshold first, and above every one behind that."""
    missing = np.isnan(values)
    return np.concatenate((np.where(missing, -np.inf, values), np.where(missing, np.inf, values)))


def _first_left(ruled_out: Leaves) -> npt.NDArray[np.uint8]:
    """Index of the lowest bit that is not set."""
    lowest = ~ruled_out & (ruled_out + np.uint16(1))
    return np.bitwise_count(lowest - np.uint16(1))
