"""Trained models: what a train leaves of them, and the one of each family that is used now."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from consumer.forecasting.models import LOCAL_MODELS
from consumer.forecasting.types import Variant
from consumer.forecasting.versions import library_versions
from schemas.enums import ModeloForecast

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Champion:
    """The row of ``forecast_modelo`` that is used now.

    Attributes:
        error: WAPE in percent, None if it was never measured.
        parametros: JSON, as ``TrainedModel`` had it.
        baseline: WAPE of the moving average in the weeks of ``error``; None if that was not recorded.
    """

    id: str
    versao: int
    execucao_id: str
    error: float | None = None
    arquivo_path: str | None = None
    parametros: Mapping[str, Any] = field(default_factory=dict)
    baseline: float | None = None

    @property
    def hashes(self) -> dict[str, str]:
        """The SHA-256 of its files by name; whatever else stands in the database is left out."""
        files = self.parametros.get("files")
        return {str(key): str(value) for key, value in files.items()} if isinstance(files, dict) else {}

    @property
    def fingerprint(self) -> str | None:
        """Of all that it was learned from."""
        found = self.parametros.get("fingerprint")
        return found if isinstance(found, str) else None

    @property
    def products(self) -> int:
        """How many products it was measured on; 0 if that was not recorded."""
        found = self.parametros.get("products")
        return found if isinstance(found, int) else 0


@dataclass(frozen=True, slots=True)
class StoredModel:
    """The stored files of a global model, and what is known of it.

    Attributes:
        about: JSON that belongs into ``parametros``: fingerprint, the library's parameters, whether it was fitted anew.
        unusable: Why the present champion cannot be used, None if it can or there is none.
    """

    reference: str
    hashes: Mapping[str, str]
    about: Mapping[str, Any]
    unusable: str | None = None


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a train leaves of global models.

    Attributes:
        models: By family; LGBM and ENSEMBLE use the same files.
        measured: By candidate, its measures over all products on which every candidate was tried.
    """

    models: Mapping[str, StoredModel]
    measured: Mapping[str, Mapping[str, Any]]

    def unusable(self, family: str) -> str | None:
        """Why the present champion of a family cannot be used."""
        return self.models[family].unusable if family in self.models else None


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """One row of ``forecast_modelo`` to be.

    Attributes:
        tipo_modelo: The family.
        parametros: JSON: parameters of each variant, seed, data hash, library versions; of a global model its files.
        metricas_treino: JSON: measures of the holdout, see ``backtesting.measures``.
        error: WAPE in percent, what ``judge`` compares; None if nothing was sold in the holdout.
        baseline: WAPE of the moving average in the same weeks.
        arquivo_path: Where its files are.
    """

    tipo_modelo: str
    parametros: dict[str, Any]
    metricas_treino: dict[str, Any]
    error: float | None
    arquivo_path: str | None = None
    baseline: float | None = None


def trained_models(
    resumo: Mapping[str, Any], *, seed: int, holdout_weeks: int, bundle: Bundle | None = None
) -> tuple[TrainedModel, ...]:
    """Give the trained families of an execution, by name.

    Where a global model was trained, every candidate was tried on every product, and a family is measured by its best
    variant over them all; else by the products for which it was chosen, which differ from train to train.

    Args:
        resumo: What ``summary.merge`` gave for a train.
        seed: Of the execution.
        holdout_weeks: What was held out.
        bundle: The global models, if any was trained.
    """
    chosen: Mapping[str, Any] = resumo.get("metrics_by_family", {})
    variants: Mapping[str, Any] = resumo.get("metrics_by_model", {}) if bundle is None else bundle.measured
    families = sorted({_family(name) for name in variants})
    common = {"seed": seed, "data_hash": resumo["data_hash"]}
    overall = resumo.get("metrics", {}).get("overall", {}).get("baseline", {})
    holdout = {"holdout_weeks": holdout_weeks, "baseline_wape": overall.get("wape")}
    return tuple(
        _trained(
            family,
            {name: value for name, value in variants.items() if _family(name) == family},
            chosen.get(family),
            common,
            holdout,
            bundle,
        )
        for family in families
    )


def _trained(
    family: str,
    variants: Mapping[str, Any],
    chosen: Mapping[str, Any] | None,
    common: Mapping[str, Any],
    holdout: Mapping[str, Any],
    bundle: Bundle | None,
) -> TrainedModel:
    measured = chosen
    if bundle is not None or measured is None:
        measured = min(variants.values(), key=lambda value: (value["wape"] is None, value["wape"]))
    stored = None if bundle is None else bundle.models.get(family)
    parameters: dict[str, Any] = {
        **({} if stored is None else {**stored.about, "files": dict(stored.hashes)}),
        "variants": {name: _parameters(name) for name in variants},
        "products": measured["products"],
        **common,
        "libraries": library_versions(tft=family == ModeloForecast.TFT and stored is not None),
    }
    metrics = {
        **holdout,
        **measured,
        "by_variant": dict(variants),
        "where_chosen": chosen,
    }
    reference = None if stored is None else stored.reference
    return TrainedModel(family, parameters, metrics, measured["wape"], reference, holdout["baseline_wape"])


def _family(name: str) -> str:
    """The family of a variant, or of a candidate, which may have a weight behind its name."""
    return Variant(name.split(maxsplit=1)[0]).modelo.value


def _parameters(name: str) -> dict[str, Any]:
    """What a variant was run with; those of the global model stand beside it."""
    variant, _, weight = name.partition(" ")
    own = LOCAL_MODELS.get(Variant(variant))
    return dict(own.parameters) if own is not None else {"weight_of_lgbm": float(weight)} if weight else {}
