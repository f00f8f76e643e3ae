"""Before models are chosen: what was trained, or is trained now, and the evidence that it brings."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from consumer.execution.learning import CHOICES, CUT, CUT_TFT, TFT, VOLUME, Learning
from consumer.execution.models import TFT_KINDS, as_models
from consumer.execution.own_models import BUNDLE, TFT_BUNDLE, open_learning
from consumer.execution.progress import Progress
from consumer.execution.run import PlannedModels
from consumer.execution.tasks import parameters_of
from consumer.forecasting.global_model.base import UnusableArtefactError
from consumer.forecasting.global_model.tft import RECIPE
from consumer.forecasting.selection import AVAILABLE
from consumer.forecasting.types import Variant
from consumer.forecasting.versions import library_versions
from consumer.ports.artefacts import ArtefactError
from consumer.steps import Step
from consumer.verified_files import UnusableFileError
from schemas.commands import TrainForecast
from schemas.enums import ModeloForecast

if TYPE_CHECKING:
    from consumer.execution.run import Run
    from consumer.execution.segmenting import Segments
    from consumer.forecasting.champion import Champion
    from consumer.ports.artefacts import StoredFile

GLOBAL: Final = frozenset({Variant.LGBM, Variant.ENSEMBLE})
NEED_TRAINING: Final = GLOBAL | {Variant.TFT}
NEVER_TRAINED: Final = "no trained LGBM model: run forecast.train"
NO_TFT_TRAINED: Final = "no trained TFT model: run forecast.train"


@dataclass(frozen=True, slots=True)
class Found:
    """What a plan has to choose by: models and evidence (JSON), or why there are none.

    Attributes:
        no_tft: Why no TFT is among the models, None if one is.
    """

    models: PlannedModels | None = None
    choices: bytes | None = None
    untrained: str | None = None
    learning: Learning | None = None
    no_tft: str | None = None

    @property
    def available(self) -> frozenset[Variant]:
        """Variants that can be planned."""
        if self.models is None:
            return AVAILABLE
        return AVAILABLE | GLOBAL | ({Variant.TFT} if self.models.tft else set())


async def find_models(run: Run, segments: Segments) -> Found:
    """The champions for a predict; a train or backtest learns from the sales that it may know."""
    if run.task != "predict":
        return await _learn(run, segments)
    found = await champion_models(run)
    return found if found.models is None else await _with_champion_tft(run, found, found.models)


async def champion_models(run: Run) -> Found:
    """The champion's LGBM models, or why they cannot be used."""
    best = await run.queue.champion(ModeloForecast.LGBM)
    if best is None:
        return Found(untrained=NEVER_TRAINED, no_tft=run.options.no_tft or NEVER_TRAINED)
    try:
        files = await _files_of(run, best, (CHOICES, VOLUME))
        await run.compute.run(parameters_of, as_models(files))
        choices = await run.artefacts.read(files[CHOICES])
    except (ArtefactError, UnusableFileError, UnusableArtefactError) as error:
        reason = f"champion LGBM version {best.versao} cannot be used: {error}; run forecast.train"
        return Found(untrained=reason, no_tft=run.options.no_tft or reason)
    about = {"champion": best.versao, "trained_by": best.execucao_id}
    hashes = {name: file.sha256 for name, file in files.items()}
    return Found(PlannedModels(None, best.arquivo_path, hashes, about), choices)


async def champion_tft(run: Run) -> tuple[Champion, dict[str, StoredFile]] | str:
    """The champion TFT and its files, or why it cannot be used."""
    if run.options.no_tft is not None:
        return run.options.no_tft
    best = await run.queue.champion(ModeloForecast.TFT)
    if best is None:
        return NO_TFT_TRAINED
    try:
        files = await _files_of(run, best, (CHOICES, TFT))
        await run.compute.run(parameters_of, as_models(files, TFT_KINDS))
    except (ArtefactError, UnusableFileError, UnusableArtefactError) as error:
        return f"champion TFT version {best.versao} cannot be used: {error}; run forecast.train"
    return best, files


async def _with_champion_tft(run: Run, found: Found, models: PlannedModels) -> Found:
    """Add the champion TFT. The evidence is then that of its train, which measured it beside all others."""
    tft = await champion_tft(run)
    if isinstance(tft, str):
        return replace(found, no_tft=tft)
    best, files = tft
    try:
        choices = await run.artefacts.read(files[CHOICES])
    except ArtefactError as error:  # deleted since it was looked at
        return replace(found, no_tft=str(error))
    about = {**models.about, "tft": {"champion": best.versao, "trained_by": best.execucao_id}}
    hashes = {name: file.sha256 for name, file in files.items()}
    planned = replace(models, about=about, tft=True, tft_reference=best.arquivo_path, tft_hashes=hashes)
    return replace(found, models=planned, choices=choices)


async def _learn(run: Run, segments: Segments) -> Found:
    """All but the last model, which waits until it is needed."""
    sold = sum(1 for product in segments.profiles if product.product_id in segments.overviews)
    if sold < run.options.global_products:
        few = f"a global model needs {run.options.global_products} products with sales, not {sold}"
        return Found(untrained=few, no_tft=run.options.no_tft or few)
    # In threads: planning tens of thousands of products takes seconds, and the event loop must not wait.
    key = await asyncio.to_thread(_workspace_key, run, segments)
    with_tft = run.options.no_tft is None
    learning = await asyncio.to_thread(open_learning, run, key, segments, with_tft=with_tft)
    progress = Progress(run, Step.SEGMENT_SKUS, 2 * sold)
    await learning.make_rows(progress)
    about = await _reuse(run, learning)
    reason = await learning.choose(progress)
    if reason is not None:
        return Found(untrained=f"no global model: {reason}", no_tft=run.options.no_tft or f"no TFT: {reason}")
    about |= {"learned_until": str(run.learned_until(segments.as_of)), "data_hash": learning.data_hash}
    about["fingerprint"] = learning.fingerprint
    choices = await learning.workspace.find(CHOICES)
    if choices is None:
        raise LookupError(f"{CHOICES} is not there after it was written")
    no_tft = run.options.no_tft or (f"no TFT: {learning.no_tft}" if learning.no_tft else None)
    if run.options.no_tft is None:
        about["tft"] = {"used": learning.has_tft, **({"reason": no_tft} if no_tft else {})}
    planned = PlannedModels(key, None, {}, about, tft=learning.has_tft)
    return Found(planned, await run.artefacts.read(choices), learning=learning, no_tft=no_tft)


async def _reuse(run: Run, learning: Learning) -> dict[str, Any]:
    """Take over what the champion learned from exactly the same rows; else say why everything is fitted anew."""
    if run.task != "train":
        return {"fitted": True}
    best = await run.queue.champion(ModeloForecast.LGBM)
    try:
        contents = await _reusable(run, learning, best)
    except ArtefactError as reason:
        return {"fitted": True, "because": str(reason)}
    for name, content in contents.items():
        await learning.workspace.keep(name, content)
    because = "the same data, parameters, seed and libraries as the champion; force_retrain fits again"
    return {"fitted": False, "because": because, **({} if best is None else {"reused_version": best.versao})}


async def _reusable(run: Run, learning: Learning, best: Champion | None) -> dict[str, bytes]:
    """The champion's files.

    Raises:
        ArtefactError: They are not to be used for this train; the message says why.
    """
    command = run.claim.command
    if isinstance(command, TrainForecast) and command.force_retrain:
        raise ArtefactError("force_retrain")
    if best is None:
        raise ArtefactError("there is no champion")
    if best.fingerprint != learning.fingerprint:
        raise ArtefactError("data, parameters, seed or libraries differ from the champion's")
    files = await _files_of(run, best, (CHOICES, VOLUME, CUT))
    contents = {name: await run.artefacts.read(files[name]) for name in BUNDLE if name in files}
    return contents | (await _reusable_tft(run, learning) if learning.has_tft else {})


async def _reusable_tft(run: Run, learning: Learning) -> dict[str, bytes]:
    """The champion TFT's files if it is of these rows; else nothing, and it is fitted."""
    best = await run.queue.champion(ModeloForecast.TFT)
    if best is None or best.fingerprint != learning.fingerprint:
        return {}
    try:
        files = await _files_of(run, best, TFT_BUNDLE)
        return {name: await run.artefacts.read(files[name]) for name in (CUT_TFT, TFT)}
    except ArtefactError:
        return {}


async def _files_of(run: Run, best: Champion, needed: tuple[str, ...]) -> dict[str, StoredFile]:
    """The files behind a champion's row.

    Raises:
        ArtefactError: One that is needed is not among them, or one of them is missing or was altered.
    """
    if best.arquivo_path is None:
        raise ArtefactError("it has no arquivo_path")
    files = await run.artefacts.find(best.arquivo_path, best.hashes)
    missing = [name for name in needed if name not in files]
    if missing:
        raise ArtefactError(f"{' or '.join(missing)} is not among its files")
    return files


def _workspace_key(run: Run, segments: Segments) -> str:
    """Stands for everything but the sales that checkpoints are made of."""
    parts = [str(segments.as_of), str(run.learned_until(segments.as_of)), str(run.options.seed)]
    parts += [repr(product) for product in segments.plan(AVAILABLE)]
    with_tft = run.options.no_tft is None
    parts += [f"{name} {version}" for name, version in sorted(library_versions(tft=with_tft).items())]
    parts += [RECIPE] if with_tft else []
    return sha256("\n".join(parts).encode()).hexdigest()[:32]
