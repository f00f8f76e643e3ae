"""Which trained model is used: a challenger replaces the champion only if it is clearly better."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

from consumer.forecasting.models import LOCAL_MODELS
from consumer.forecasting.types import Variant
from consumer.forecasting.versions import library_versions

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """One row of ``forecast_modelo`` to be.

    Attributes:
        tipo_modelo: The family.
        parametros: JSON: parameters of each variant, seed, data hash, library versions.
        metricas_treino: JSON: measures of the holdout, see ``backtesting.measures``.
        error: WAPE in percent, what ``beats`` compares; None if nothing was sold in the holdout.
    """

    tipo_modelo: str
    parametros: dict[str, Any]
    metricas_treino: dict[str, Any]
    error: float | None


def beats(challenger_error: float | None, champion_error: float | None, margin_points: float = 1.0) -> bool:
    """Whether a challenger is promoted: lower by the margin at least, or the first that was measured.

    Args:
        challenger_error: WAPE in percent; None or not finite never wins.
        champion_error: WAPE in percent; None or not finite always loses to one that was measured.
        margin_points: Percentage points.
    """
    if challenger_error is None or not isfinite(challenger_error):
        return False
    if champion_error is None or not isfinite(champion_error):
        return True
    return challenger_error < champion_error and champion_error - challenger_error >= margin_points


def trained_models(resumo: Mapping[str, Any], *, seed: int, holdout_weeks: int) -> tuple[TrainedModel, ...]:
    """Give the trained families of an execution, by name.

    Args:
        resumo: What ``summary.merge`` gave for a train.
        seed: Of the execution.
        holdout_weeks: What was held out.
    """
    common = {"seed": seed, "data_hash": resumo["data_hash"], "libraries": library_versions()}
    return tuple(
        TrainedModel(
            family,
            {"variants": _parameters(family, resumo["metrics_by_model"]), **common},
            {
                "holdout_weeks": holdout_weeks,
                **metrics,
                "by_variant": _variants(family, resumo["metrics_by_model"]),
            },
            metrics["wape"],
        )
        for family, metrics in resumo.get("metrics_by_family", {}).items()
    )


def _variants(family: str, by_model: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in by_model.items() if Variant(name).modelo == family}


def _parameters(family: str, by_model: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: dict(LOCAL_MODELS[Variant(name)].parameters) for name in _variants(family, by_model)}
