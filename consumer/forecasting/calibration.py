"""Quantiles of a global model, moved so that as many past weeks lie below each as its name says.

Split conformal prediction, one side at a time (Romano, Patterson and Candès 2019, "Conformalized quantile
regression"), on weeks that the model had not learned from, pooled over the products of a demand pattern. A score is
what demand exceeded a quantile by, in multiples of the product's level; the quantile of the scores is the shift.

Where weeks without a sale are common, p10 and p25 are almost zero for all products, and which of them lie above is
noise. Before the scores are taken, up to a tenth of a level is added, more to products that sell more often; the shift
takes it off again, and those that sell most often keep something. A week without a sale is then below p10 as often as
it should be, instead of never.

What is only sold in whole units has a p50 in whole units: the absolute error is smallest at one of them. That lowered
it by 0.7 % on each of four sets of known weeks. The other quantiles stay as they are: between two units they can have
as many weeks below them as they should, at one of them they cannot.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from consumer.forecasting.types import QUANTILES
from schemas.enums import PadraoDemanda, TargetType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from consumer.forecasting.global_model.base import Panel
    from consumer.forecasting.types import FloatArray, IntArray

BoolArray = npt.NDArray[np.bool_]

PATTERNS: Final = tuple(PadraoDemanda)
RECENT_WEEKS: Final = 13
MINIMUM_SCORES: Final = 2000
_SPREAD: Final = np.array([0.1, 0.1, 0.0, 0.0, 0.0])
_MEDIAN: Final = 2

# Edges of the scores' bins, fine near zero: to 20 levels on either side.
_FINEST: Final = 0.002
_EDGES: Final = _FINEST * np.sinh(np.linspace(-np.arcsinh(20 / _FINEST), np.arcsinh(20 / _FINEST), 322))
BINS: Final = _EDGES.size - 1


@dataclass(frozen=True, slots=True)
class Levels:
    """What a unit is for each product of a panel.

    Attributes:
        level: ``(n,)`` half the mean of all weeks, half that of the last 13.
        often: ``(n,)`` the same of the weeks with a sale: their share.
        whole: ``(n,)`` whether only whole units were ever sold.
    """

    level: FloatArray
    often: FloatArray
    whole: BoolArray


def levels(panel: Panel, target: TargetType) -> Levels:
    """Compute both, in units or money a week."""
    values, start = panel.target(target), panel.start
    parts = [values[first:end] for first, end in pairwise(start.tolist())]
    level = np.array([(_mean(part) + _mean(part[-RECENT_WEEKS:])) / 2 for part in parts])
    # What is counted needs no order of additions, so all products are counted at once.
    weeks = np.diff(start)
    recent = np.minimum(weeks, RECENT_WEEKS)
    sold = np.concatenate(([0], np.cumsum(values > 0)))
    share, lately = (sold[start[1:]] - sold[start[:-1]]) / weeks, (sold[start[1:]] - sold[start[1:] - recent]) / recent
    return Levels(level, (share + lately) / 2, _whole(values, start, target))


@dataclass(slots=True)
class Scores:
    """Histograms of scores, by pattern and quantile; those of chunks add up."""

    counts: IntArray = field(default_factory=lambda: np.zeros((len(PATTERNS), len(QUANTILES), BINS), dtype=np.int64))

    def add(self, actual: FloatArray, quantiles: FloatArray, known: Levels, pattern: IntArray) -> None:
        """Count the weeks of some products.

        Args:
            actual: ``(n, weeks)``.
            quantiles: ``(n, weeks, 5)`` as the model gave them.
            known: Of the same products.
            pattern: ``(n,)`` index into ``PATTERNS``.
        """
        usable = known.level > 0
        excess = actual[..., None] - _spread(quantiles, known)
        scores = excess[usable] / known.level[usable, None, None]
        bins = np.clip(np.searchsorted(_EDGES, scores, side="right") - 1, 0, BINS - 1)
        for number in range(len(QUANTILES)):
            place = pattern[usable, None] * BINS + bins[..., number]
            self.counts[:, number] += np.bincount(place.ravel(), minlength=len(PATTERNS) * BINS).reshape(-1, BINS)

    def to_json(self) -> list[int]:
        """Write places and counts, one after the other, of what is not zero."""
        flat = self.counts.ravel()
        places = np.flatnonzero(flat)
        values: list[int] = np.column_stack((places, flat[places])).ravel().tolist()
        return values

    def add_json(self, values: Sequence[int]) -> None:
        """Add what ``to_json`` wrote."""
        pairs = np.array(values, dtype=np.int64).reshape(-1, 2)
        np.add.at(self.counts.reshape(-1), pairs[:, 0], pairs[:, 1])

    def shifts(self) -> dict[str, list[float]]:
        """Give the shift of each quantile by pattern, in levels; a pattern with few scores borrows from all."""
        everything = self.counts.sum(axis=0)
        if not everything.any():
            return {}
        result: dict[str, list[float]] = {}
        for number, pattern in enumerate(PATTERNS):
            own = self.counts[number].astype(np.float64)
            missing = max(MINIMUM_SCORES - own[0].sum(), 0.0)
            mixed = own + missing * everything / everything[0].sum()
            result[pattern] = [_quantile(mixed[at], level) for at, level in enumerate(QUANTILES)]
        return result


def calibrated(
    quantiles: FloatArray, known: Levels, pattern: IntArray, shifts: Mapping[str, Sequence[float]]
) -> FloatArray:
    """Move quantiles ``(n, weeks, 5)`` by the shifts of each product's pattern; without shifts only tidy them.

    The median is not moved: it minimises the absolute error.
    """
    if shifts:
        table = np.array([shifts[name] for name in PATTERNS])
        table[:, _MEDIAN] = 0.0
        moved = _spread(quantiles, known) + table[pattern][:, None, :] * known.level[:, None, None]
    else:
        moved = quantiles
    return in_units(moved, known.whole[:, None])


def in_order(quantiles: FloatArray) -> FloatArray:
    """Make quantiles non-negative and non-crossing; the median stays, the others give way to it."""
    moved = np.maximum(quantiles, 0.0)
    below = np.minimum.accumulate(moved[..., _MEDIAN::-1], axis=-1)[..., ::-1]
    above = np.maximum.accumulate(moved[..., _MEDIAN:], axis=-1)
    result: FloatArray = np.concatenate((below[..., :_MEDIAN], above), axis=-1)
    return result


def in_units(quantiles: FloatArray, whole: BoolArray) -> FloatArray:
    """Put the median of ``(..., 5)`` on the nearest whole unit where ``whole`` ``(...)``; the result is in order."""
    units = quantiles.copy()
    units[..., _MEDIAN] = np.where(whole, np.floor(quantiles[..., _MEDIAN] + 0.5), quantiles[..., _MEDIAN])
    return in_order(units)


def valid_shifts(value: Any) -> dict[str, list[float]]:
    """Check what ``Scores.shifts`` gave and a file brought back.

    Raises:
        ValueError: It is not five finite numbers a pattern.
    """
    if value == {}:
        return {}
    if not isinstance(value, dict) or set(value) != set(PATTERNS):
        raise ValueError(f"shifts must have the patterns {', '.join(PATTERNS)}")
    table = np.array([value[name] for name in PATTERNS], dtype=np.float64)
    if table.shape != (len(PATTERNS), len(QUANTILES)) or not np.isfinite(table).all():
        raise ValueError("shifts must be five finite numbers a pattern")
    return {name: [float(number) for number in value[name]] for name in PATTERNS}


def _whole(values: FloatArray, start: IntArray, target: TargetType) -> BoolArray:
    """Whether a product has whole units alone; money has none."""
    if target is not TargetType.VOLUME:
        return np.zeros(start.size - 1, dtype=bool)
    broken = np.concatenate(([0], np.cumsum(values != np.floor(values))))
    whole: BoolArray = broken[start[1:]] == broken[start[:-1]]
    return whole


def _mean(part: FloatArray) -> float:
    """``part.mean()`` without its many questions, which take longer than a hundred additions."""
    mean: float = np.add.reduce(part) / part.size
    return mean


def _spread(quantiles: FloatArray, known: Levels) -> FloatArray:
    spread: FloatArray = quantiles + _SPREAD * (known.level * known.often)[:, None, None]
    return spread


def _quantile(counts: FloatArray, level: float) -> float:
    """Interpolate within the bin that holds the quantile."""
    reached = np.cumsum(counts)
    at = int(np.searchsorted(reached, level * reached[-1]))
    inside = (level * reached[-1] - (reached[at] - counts[at])) / counts[at]
    return round(float(_EDGES[at] + inside * (_EDGES[at + 1] - _EDGES[at])), 6)
