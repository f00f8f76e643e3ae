"""Which model is better where, decided by what every candidate would have done on the last known weeks.

A product's own 13 weeks are mostly noise: on real sales, letting each product have the model that was best for it, even
shrunk towards its segment (empirical Bayes), cost 2 % of the pinball loss of the weeks that followed. So a model is
chosen for a segment, pattern and revenue class, by the mean loss of its products.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Final

from consumer.forecasting.backtesting import Sums, add, measures
from consumer.forecasting.calibration import valid_shifts
from consumer.forecasting.evidence import ENSEMBLES, LOCAL_CANDIDATES, Evidence
from consumer.forecasting.global_model.base import UnusableArtefactError
from consumer.forecasting.types import Variant
from schemas.enums import ClasseABC, PadraoDemanda, TargetType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FORMAT: Final = "forecast-consumer choices 1"
MINIMUM_PRODUCTS: Final = 30
MARGIN: Final = 0.01  # of the loss: what a model must gain to take another's place


@dataclass(frozen=True, slots=True)
class Choices:
    """What was decided.

    Attributes:
        losses: By segment and variant, the mean scaled pinball loss.
        weights: By segment, of LGBM in the ensemble.
        shifts: By target and pattern, see ``calibration.calibrated``.
        measured: By variant, each over all products; see ``backtesting.measures``.
    """

    losses: Mapping[str, Mapping[Variant, float]]
    weights: Mapping[str, float]
    shifts: Mapping[TargetType, Mapping[str, list[float]]]
    measured: Mapping[Variant, Mapping[str, Any]]

    def better(self, segment: str, planned: Variant) -> Variant | None:
        """Give the model that should be tried before the planned one in a segment; None if there is none."""
        losses = self.losses.get(segment, {})
        if not losses:
            return None
        best = min(losses, key=lambda variant: losses[variant])
        return best if losses[best] < (1 - MARGIN) * losses.get(planned, inf) else None


def decide(summaries: Iterable[Mapping[str, Any]]) -> bytes:
    """Decide by the evidence of all chunks; the artefact is the same in whatever order they come.

    Args:
        summaries: ``ChunkResult.summary`` of every chunk of a train; looked at once, one at a time.
    """
    evidence = Evidence()
    for summary in summaries:
        evidence.add_json(summary["evidence"])
    losses, weights = {}, {}
    measured: dict[str, Sums] = {}
    for name in (f"{pattern}/{abc}" for pattern in PadraoDemanda for abc in ClasseABC):
        found = evidence.mean_losses(name, MINIMUM_PRODUCTS)
        if found:
            best = min(ENSEMBLES, key=lambda candidate: found[candidate])
            weights[name] = ENSEMBLES[best]
            names = {Variant.LGBM: Variant.LGBM, Variant.ENSEMBLE: best} | {one: one for one in LOCAL_CANDIDATES}
            losses[name] = {variant: found[candidate] for variant, candidate in names.items()}
            for variant, candidate in names.items():
                add(measured.setdefault(variant, {}), evidence.measured.get(name, {}).get(candidate, {}))
    content = {
        "format": FORMAT,
        "losses": losses,
        "weights": weights,
        "shifts": {target: scores.shifts() for target, scores in evidence.scores.items()},
        "measured": {name: measures(sums) for name, sums in measured.items() if sums},
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
            {TargetType(target): valid_shifts(shifts) for target, shifts in content["shifts"].items()},
            {Variant(name): dict(found) for name, found in content["measured"].items()},
        )
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise UnusableArtefactError(f"choices cannot be read: {type(error).__name__}: {error}"[:300]) from error


def _require_format(found: Any) -> None:
    if found != FORMAT:
        raise ValueError(f"format is {str(found)[:80]!r}, this version reads {FORMAT!r}")


def _weight(value: Any) -> float:
    weight = float(value)
    if not 0 <= weight <= 1:
        raise ValueError(f"a weight is {weight}, it must be between 0 and 1")
    return weight
