"""A regression tree as LightGBM writes it down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MOST_LEAVES: Final = 16


@dataclass(frozen=True, slots=True)
class Split:
    """A question of a tree.

    Attributes:
        feature: Index of the feature that is asked for.
        threshold: Values up to this one go left; infinite where the split is of what is missing from what is known.
        missing_left: Whether NaN goes left.
        left: Index of the next split, or the complement (``~``) of a leaf's.
        right: The same for the other side.
    """

    feature: int
    threshold: float
    missing_left: bool
    left: int
    right: int


@dataclass(frozen=True, slots=True)
class Tree:
    """At most ``MOST_LEAVES``, one more than splits; the first split is asked first."""

    splits: tuple[Split, ...]
    leaves: tuple[float, ...]

    def from_the_left(self) -> tuple[list[float], list[int]]:
        """Give the leaves in their order from the left, and for each split those on its left, a bit a leaf."""
        leaves: list[float] = []
        on_the_left = [0] * len(self.splits)

        def below(at: int) -> int:
            if at < 0:
                leaves.append(self.leaves[~at])
                return 1 << (len(leaves) - 1)
            on_the_left[at] = below(self.splits[at].left)
            return on_the_left[at] | below(self.splits[at].right)

        below(0 if self.splits else ~0)
        return leaves, on_the_left
