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
from consumer.forecasting.calibration import Scores, valid_shifts
from consumer.forecasting.evidence import ENSEMBLE_WITH_TFT, ENSEMBLES, LOCAL_CANDIDATES, Evidence
from consumer.forecasting.given import DEFAULT_WEIGHT
from consumer.forecasting.global_model.base import UnusableArtefactError
from consumer.forecasting.types import Variant
from schemas.enums import ClasseABC, PadraoDemanda, TargetType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FORMAT: Final = "forecast-consumer choices 1"
MINIMUM_PRODUCTS: Final = 30
_SEGMENTS: Final = tuple(f"{pattern}/{abc}" for pattern in PadraoDemanda for abc in ClasseABC)
_USUAL_ENSEMBLE: Final = f"{Variant.ENSEMBLE} {DEFAULT_WEIGHT}"
MARGIN: Final = 0.01  # of the loss: what a model must gain to take another's place


@dataclass(frozen=True, slots=True)
class TftChoices:
    """What a TFT that was measured beside the others changes: its own numbers, and those of the ensemble that takes it.

    Attributes:
        losses: By segment, of TFT, and in class A of ENSEMBLE.
        shifts: By pattern, of the TFT's volume.
        measured: Of TFT and ENSEMBLE.
    """

    losses: Mapping[str, Mapping[Variant, float]]
    shifts: Mapping[str, list[float]]
    measured: Mapping[Variant, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Choices:
    """What was decided.

    Attributes:
        losses: By segment and variant, the mean scaled pinball loss.
        weights: By segment, of LGBM in the ensemble.
        shifts: By target and pattern, see ``calibration.calibrated``.
        measured: By variant, each over all products; see ``backtesting.measures``.
        tft: None if no TFT was measured. The other attributes are the same with it and without.
    """

    losses: Mapping[str, Mapping[Variant, float]]
    weights: Mapping[str, float]
    shifts: Mapping[TargetType, Mapping[str, list[float]]]
    measured: Mapping[Variant, Mapping[str, Any]]
    tft: TftChoices | None = None

    def better(self, segment: str, planned: Variant, *, tft: bool = False) -> Variant | None:
        """Give the model that should be tried before the planned one in a segment; None if there is none.

        Args:
            tft: Whether a TFT can be used; what was measured of it counts only then.
        """
        losses = dict(self.losses.get(segment, {}))
        if tft and self.tft is not None:
            losses |= self.tft.losses.get(segment, {})
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
    found = {name: evidence.mean_losses(name, MINIMUM_PRODUCTS) for name in _SEGMENTS}
    best = {name: min(ENSEMBLES, key=losses.__getitem__) for name, losses in found.items() if losses}
    local = {variant: variant.value for variant in LOCAL_CANDIDATES}
    standing = best or dict.fromkeys(evidence.measured, _USUAL_ENSEMBLE)  # too young to decide by, not to be measured
    own = {name: {Variant.LGBM: Variant.LGBM.value, Variant.ENSEMBLE: one} | local for name, one in standing.items()}
    content = {
        "format": FORMAT,
        "weights": {name: ENSEMBLES[one] for name, one in best.items()},
        "shifts": {target: evidence.scores[target].shifts() for target in TargetType if target in evidence.scores},
        **_compared(evidence, found, own),
    }
    if evidence.tft:
        theirs = {
            name: {Variant.TFT: Variant.TFT.value, Variant.ENSEMBLE: ENSEMBLE_WITH_TFT if _class_a(name) else one}
            for name, one in standing.items()
        }
        shifts = evidence.scores.get(Variant.TFT, Scores()).shifts()
        content["tft"] = {"shifts": shifts, **_compared(evidence, found, theirs)}
    return json.dumps(content, sort_keys=True).encode()


def _class_a(name: str) -> bool:
    """Whether the ensemble of a segment takes the TFT: it does where most revenue is."""
    return name.endswith(f"/{ClasseABC.A}")


def _compared(
    evidence: Evidence,
    found: Mapping[str, Mapping[str, float]],
    candidates: Mapping[str, Mapping[Variant, str]],
) -> dict[str, Any]:
    """Losses by segment, and measures over all, of the candidate that stands for each variant in a segment."""
    losses: dict[str, dict[str, float]] = {}
    sums: dict[str, Sums] = {}
    for name, standing in candidates.items():
        if found.get(name):
            losses[name] = {variant: found[name][candidate] for variant, candidate in standing.items()}
        for variant, candidate in standing.items():
            add(sums.setdefault(variant, {}), evidence.measured.get(name, {}).get(candidate, {}))
    return {"losses": losses, "measured": {name: measures(one) for name, one in sums.items() if one}}


def load_choices(artefact: bytes) -> Choices:
    """Read what ``decide`` wrote.

    Raises:
        UnusableArtefactError: It is something else.
    """
    try:
        content = json.loads(artefact)
        _require_format(content["format"])
        return Choices(
            _losses(content["losses"]),
            {name: _weight(value) for name, value in content["weights"].items()},
            {TargetType(target): valid_shifts(shifts) for target, shifts in content["shifts"].items()},
            _measured(content["measured"]),
            _tft(content["tft"]) if "tft" in content else None,
        )
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise UnusableArtefactError(f"choices cannot be read: {type(error).__name__}: {error}"[:300]) from error


def _tft(content: Mapping[str, Any]) -> TftChoices:
    shifts = valid_shifts(content["shifts"])
    return TftChoices(_losses(content["losses"]), shifts, _measured(content["measured"]))


def _losses(content: Mapping[str, Any]) -> dict[str, dict[Variant, float]]:
    return {
        name: {Variant(variant): float(loss) for variant, loss in losses.items()} for name, losses in content.items()
    }


def _measured(content: Mapping[str, Any]) -> dict[Variant, dict[str, Any]]:
    return {Variant(name): dict(found) for name, found in content.items()}


def _require_format(found: Any) -> None:
    if found != FORMAT:
        raise ValueError(f"format is {str(found)[:80]!r}, this version reads {FORMAT!r}")


def _weight(value: Any) -> float:
    weight = float(value)
    if not 0 <= weight <= 1:
        raise ValueError(f"a weight is {weight}, it must be between 0 and 1")
    return weight
