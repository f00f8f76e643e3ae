"""The end of a train: its models become versions, and each is judged against the champion of its type."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from consumer.execution.finding import NEVER_TRAINED, NO_TFT_TRAINED, champion_models, champion_tft
from consumer.execution.learning import CHOICES
from consumer.execution.models import KINDS, TFT_KINDS, as_models
from consumer.execution.own_models import OwnModels
from consumer.execution.tasks import parameters_of
from consumer.forecasting.champion import Bundle, StoredModel, trained_models
from consumer.forecasting.choices import load_choices
from consumer.forecasting.promotion import Verdict, judge
from schemas.enums import ModeloForecast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from consumer.execution.models import ModelsOfRun
    from consumer.execution.run import Plan, Run
    from consumer.forecasting.champion import Champion, TrainedModel
    from consumer.ports.fenced import FencedWork


async def store_bundle(run: Run, plan: Plan, models: ModelsOfRun) -> Bundle | None:
    """Write the files of a train's global models; before the transaction that refers to them."""
    if run.task != "train" or plan.models is None or not isinstance(models, OwnModels):
        return None
    contents = await models.bundle()
    about = {name: value for name, value in plan.models.about.items() if name != "tft"}
    choices = load_choices(contents[CHOICES])
    measured = dict(choices.measured)
    before = (await champion_models(run)).untrained
    unusable = None if before == NEVER_TRAINED else before
    lgbm = await _stored(run, ModeloForecast.LGBM, contents, about, unusable)
    stored: dict[str, StoredModel] = {ModeloForecast.LGBM: lgbm, ModeloForecast.ENSEMBLE: lgbm}
    of_tft = await models.tft_bundle()
    if of_tft and choices.tft is not None:
        measured |= choices.tft.measured
        present = await champion_tft(run)
        unusable = present if isinstance(present, str) and present != NO_TFT_TRAINED else None
        stored[ModeloForecast.TFT] = await _stored(run, ModeloForecast.TFT, of_tft, about, unusable)
    return Bundle(stored, {name.value: found for name, found in measured.items()})


async def _stored(
    run: Run, family: ModeloForecast, contents: Mapping[str, bytes], about: Mapping[str, Any], unusable: str | None
) -> StoredModel:
    """Write a model's files, and read them as a predict will."""
    reference = await run.artefacts.publish(run.claim.lease.execucao_id, family, contents)
    hashes = {name: sha256(content).hexdigest() for name, content in contents.items()}
    files = await run.artefacts.find(reference, hashes)
    kinds = TFT_KINDS if family is ModeloForecast.TFT else KINDS
    parameters = await run.compute.run(parameters_of, as_models(files, kinds))
    return StoredModel(reference, hashes, {**about, "models": parameters}, unusable)


async def store_models(
    run: Run, plan: Plan, work: FencedWork, resumo: dict[str, Any], bundle: Bundle | None
) -> list[dict[str, Any]]:
    """A version of each family that was trained; the better of challenger and champion is used from now on."""
    stored: list[dict[str, Any]] = []
    verdicts: dict[str, Verdict] = {}
    # LGBM before ENSEMBLE, which uses the same files: one cannot be promoted without the other.
    for model in sorted(
        trained_models(resumo, seed=plan.seed, holdout_weeks=plan.horizon, bundle=bundle),
        key=lambda one: (one.tipo_modelo == ModeloForecast.ENSEMBLE, one.tipo_modelo),
    ):
        before = await work.champion(model.tipo_modelo)
        verdict = _verdict(run, model, before, bundle, verdicts)
        verdicts[model.tipo_modelo] = verdict
        audit = _audit(verdict, before, run.options.champion_margin)
        version = await work.add_model(model, audit, champion=verdict.promoted)
        stored.append(
            {
                "tipo_modelo": model.tipo_modelo,
                "versao": version,
                "wape": model.error,
                "champion_wape_before": None if before is None else before.error,
                "promoted": verdict.promoted,
                "reason": verdict.reason,
            }
        )
    return stored


def _verdict(
    run: Run, model: TrainedModel, before: Champion | None, bundle: Bundle | None, verdicts: dict[str, Verdict]
) -> Verdict:
    if model.tipo_modelo == ModeloForecast.ENSEMBLE:
        lgbm = verdicts[ModeloForecast.LGBM]
        return Verdict(lgbm.promoted, f"uses the files of LGBM, where: {lgbm.reason}")
    unusable = None if bundle is None else bundle.unusable(model.tipo_modelo)
    return judge(model, before, run.options.champion_margin, unusable)


def _audit(verdict: Verdict, before: Champion | None, margin: float) -> dict[str, Any]:
    """What ``metricas_treino`` keeps of the decision."""
    champion = None
    if before is not None:
        champion = {"id": before.id, "versao": before.versao, "execucao_id": before.execucao_id, "wape": before.error}
    return {
        "promoted": verdict.promoted,
        "reason": verdict.reason,
        "margin_points": margin,
        "previous_champion": champion,
    }
