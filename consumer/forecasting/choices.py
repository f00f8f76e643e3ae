"""Which model is better where, decided by what every candidate would have done on the last known weeks.

A product's own 13 weeks are mostly noise. So a model is first chosen for a segment (pattern and revenue class) by the
mean loss of its products; a single product departs from its segment only where its own difference is still clear after
it was shrunk towards the segment's (empirical Bayes, Efron and Morris 1975: how far follows from how well the first
half of the weeks foretells the second).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from consumer.forecasting.backtesting import Sums, add, measures
from consumer.forecasting.calibration import Scores, valid_shifts
from consumer.forecasting.evidence import CANDIDATES, HALVES, LOCAL_CANDIDATES, WEIGHTS
from consumer.forecasting.global_model.base import UnusableArtefactError
from consumer.forecasting.types import Variant
from schemas.enums import ClasseABC, PadraoDemanda, TargetType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from consumer.forecasting.types import FloatArray

FORMAT: Final = "forecast-consumer choices 1"
MINIMUM_PRODUCTS: Final = 30
MARGIN: Final = 0.01  # of the loss: what a model must gain to take another's place

_VARIANTS: Final = (Variant.LGBM, Variant.ENSEMBLE, *LOCAL_CANDIDATES)
_SEGMENTS: Final = tuple(f"{pattern}/{abc}" for pattern in PadraoDemanda for abc in ClasseABC)


@dataclass(frozen=True, slots=True)
class Choices:
    """What was decided.

    Attributes:
        losses: By segment and variant, the mean scaled pinball loss.
        weights: By segment, of LGBM in the ensemble.
        products: The products whose model is not their segment's.
        shifts: By target and pattern, see ``calibration.calibrated``.
        measured: By candidate, see ``backtesting.measures``; over all products that were evaluated.
        evaluated: How many products that were.
    """

    losses: Mapping[str, Mapping[Variant, float]]
    weights: Mapping[str, float]
    products: Mapping[str, Variant]
    shifts: Mapping[TargetType, Mapping[str, list[float]]]
    measured: Mapping[str, Mapping[str, Any]]
    evaluated: int

    def better(self, product_id: str, segment: str, planned: Variant) -> Variant | None:
        """Give the model that should be tried before the planned one; None if there is none."""
        own = self.products.get(product_id)
        if own is not None:
            return own if own is not planned else None
        losses = self.losses.get(segment, {})
        if not losses:
            return None
        best = min(losses, key=lambda variant: losses[variant])
        return best if losses[best] < (1 - MARGIN) * losses.get(planned, np.inf) else None


@dataclass(slots=True)
class _Gathered:
    """Evidence of all chunks: losses of m products, ``(m, candidates, halves)``."""

    ids: list[str]
    segments: list[str]
    losses: FloatArray
    measured: dict[str, Sums]
    scores: dict[str, Scores]


def decide(summaries: Iterable[Mapping[str, Any]]) -> bytes:
    """Decide by the evidence of all chunks; the artefact is the same in whatever order they come.

    Args:
        summaries: ``ChunkResult.summary`` of every chunk of a train; looked at once, one at a time.
    """
    gathered = _gather(summaries)
    losses, weights, products = {}, {}, {}
    for name in _SEGMENTS:
        of_segment = np.array([segment == name for segment in gathered.segments], dtype=bool)
        basis = _basis(name, np.array(gathered.segments, dtype=object))
        if not basis.any():
            continue
        weight = int(np.argmin(gathered.losses[basis, 1 : 1 + len(WEIGHTS)].mean(axis=(0, 2))))
        weights[name] = WEIGHTS[weight]
        columns = [0, 1 + weight, *range(1 + len(WEIGHTS), len(CANDIDATES))]
        own = gathered.losses[:, columns]
        means = own[basis].mean(axis=(0, 2))
        losses[name] = {variant: round(float(mean), 6) for variant, mean in zip(_VARIANTS, means, strict=True)}
        for number, variant in _exceptions(own, of_segment, means):
            products[gathered.ids[number]] = variant
    content = {
        "format": FORMAT,
        "losses": losses,
        "weights": weights,
        "products": products,
        "shifts": {target: scores.shifts() for target, scores in gathered.scores.items()},
        "measured": {name: measures(sums) for name, sums in gathered.measured.items()},
        "evaluated": len(gathered.ids),
    }
    return json.dumps(content, sort_keys=True).encode()


def load_choices(artefact: bytes) -> Choices:
    """Read what ``decide`` wrote.

    Raises:
        UnusableArtefactError: It is something else.
    """
    try:
        content = json.loads(artefact)
        _require_format(content["format"])
        return Choices(
            {
                name: {Variant(variant): float(loss) for variant, loss in losses.items()}
                for name, losses in content["losses"].items()
            },
            {name: _weight(value) for name, value in content["weights"].items()},
            {name: Variant(variant) for name, variant in content["products"].items()},
            {TargetType(target): valid_shifts(shifts) for target, shifts in content["shifts"].items()},
            dict(content["measured"]),
            int(content["evaluated"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UnusableArtefactError(f"choices cannot be read: {type(error).__name__}: {error}"[:300]) from error


def _require_format(found: Any) -> None:
    if found != FORMAT:
        raise ValueError(f"format is {str(found)[:80]!r}, this version reads {FORMAT!r}")


def _gather(summaries: Iterable[Mapping[str, Any]]) -> _Gathered:
    ids: list[str] = []
    segments: list[str] = []
    blocks = [np.empty((0, len(CANDIDATES), HALVES))]
    measured: dict[str, Sums] = {}
    scores: dict[str, Scores] = {}
    for summary in summaries:
        evidence = summary["evidence"]
        ids += [row[0] for row in evidence["products"]]
        segments += [row[1] for row in evidence["products"]]
        rows = np.array([row[2] for row in evidence["products"]], dtype=np.float64) / 1000
        blocks.append(rows.reshape(-1, len(CANDIDATES), HALVES))
        for name, sums in evidence["measured"].items():
            add(measured.setdefault(name, {}), sums)
        for target, values in evidence["scores"].items():
            scores.setdefault(target, Scores()).add_json(values)
    order = sorted(range(len(ids)), key=lambda number: ids[number])
    losses = np.concatenate(blocks)[order]
    return _Gathered([ids[at] for at in order], [segments[at] for at in order], losses, measured, scores)


def _basis(name: str, segments: np.typing.NDArray[np.object_]) -> np.typing.NDArray[np.bool_]:
    """Products that speak for a segment: its own, else those of its pattern, else all."""
    pattern = name.partition("/")[0]
    own: np.typing.NDArray[np.bool_] = segments == name
    if own.sum() >= MINIMUM_PRODUCTS:
        return own
    same = np.array([segment.startswith(f"{pattern}/") for segment in segments], dtype=bool)
    return same if same.sum() >= MINIMUM_PRODUCTS else np.ones(segments.size, dtype=bool)


def _exceptions(
    losses: FloatArray, of_segment: np.typing.NDArray[np.bool_], means: FloatArray
) -> list[tuple[int, Variant]]:
    """Products of a segment for which another model than the segment's best stays clearly better when shrunk."""
    numbers = np.flatnonzero(of_segment)
    if numbers.size < MINIMUM_PRODUCTS:
        return []
    best = int(np.argmin(means))
    gains = losses[numbers] - losses[numbers, best][:, None]
    expected = np.column_stack([_shrunk(gains[:, column]) for column in range(gains.shape[1])])
    expected[:, best] = 0.0
    chosen = np.argmin(expected, axis=1)
    clear = expected.min(axis=1) < -MARGIN * means[best]
    return [(int(numbers[at]), _VARIANTS[chosen[at]]) for at in np.flatnonzero(clear)]


def _shrunk(gains: FloatArray) -> FloatArray:
    """Shrink each product's gain ``(m, 2)`` towards the mean by the share of its variance that lasts."""
    own = gains.mean(axis=1)
    variance = float(own.var())
    lasting = float(np.cov(gains.T)[0, 1])
    share = min(max(lasting / variance, 0.0), 1.0) if variance > 0 else 0.0
    shrunk: FloatArray = own.mean() + share * (own - own.mean())
    return shrunk


def _weight(value: Any) -> float:
    weight = float(value)
    if not 0 <= weight <= 1:
        raise ValueError(f"a weight is {weight}, it must be between 0 and 1")
    return weight
