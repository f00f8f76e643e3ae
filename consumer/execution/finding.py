"""Before models are chosen: what was trained, or is trained now, and the evidence that it brings."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from consumer.artefact_ports import ArtefactError
from consumer.execution.learning import CHOICES, CUT, VOLUME, Learning
from consumer.execution.models import BUNDLE, as_models, open_learning
from consumer.execution.progress import Progress
from consumer.execution.run import PlannedModels
from consumer.execution.tasks import parameters_of
from consumer.forecasting.global_model.base import UnusableArtefactError
from consumer.forecasting.selection import AVAILABLE
from consumer.forecasting.types import Variant
from consumer.forecasting.versions import library_versions
from consumer.steps import Step
from consumer.verified_files import UnusableFileError
from schemas.commands import TrainForecast
from schemas.enums import ModeloForecast

if TYPE_CHECKING:
    from consumer.artefact_ports import StoredFile
    from consumer.execution.run import Run
    from consumer.execution.segmenting import Segments
    from consumer.forecasting.champion import Champion

GLOBAL: Final = frozenset({Variant.LGBM, Variant.ENSEMBLE})
NEVER_TRAINED: Final = "no trained LGBM model: run forecast.train"


@dataclass(frozen=True, slots=True)
class Found:
    """What a plan has to choose by: models and evidence (JSON), or why there are none."""

    models: PlannedModels | None = None
    choices: bytes | None = None
    untrained: str | None = None
    learning: Learning | None = None

    @property
    def available(self) -> frozenset[Variant]:
        """Variants that can be planned."""
        return AVAILABLE if self.models is None else AVAILABLE | GLOBAL


async def find_models(run: Run, segments: Segments) -> Found:
    """The champion for a predict; a train or backtest learns from the sales that it may know."""
    return await champion_models(run) if run.task == "predict" else await _learn(run, segments)


async def champion_models(run: Run) -> Found:
    """The champion's, or why they cannot be used."""
    best = await run.queue.champion(ModeloForecast.LGBM)
    if best is None:
        return Found(untrained=NEVER_TRAINED)
    try:
        files = await _files_of(run, best)
        await run.compute.run(parameters_of, as_models(files))
        choices = await run.artefacts.read(files[CHOICES])
    except (ArtefactError, UnusableFileError, UnusableArtefactError) as error:
        return Found(untrained=f"champion LGBM version {best.versao} cannot be used: {error}; run forecast.train")
    about = {"champion": best.versao, "trained_by": best.execucao_id}
    hashes = {name: file.sha256 for name, file in files.items()}
    return Found(PlannedModels(None, best.arquivo_path, hashes, about), choices)


async def _learn(run: Run, segments: Segments) -> Found:
    """All but the last model, which waits until it is needed."""
    sold = sum(1 for product in segments.profiles if product.product_id in segments.overviews)
    if sold < run.options.global_products:
        return Found(untrained=f"a global model needs {run.options.global_products} products with sales, not {sold}")
    # In threads: planning tens of thousands of products takes seconds, and the event loop must not wait.
    key = await asyncio.to_thread(_workspace_key, run, segments)
    learning = await asyncio.to_thread(open_learning, run, key, segments)
    progress = Progress(run, Step.SEGMENT_SKUS, 2 * sold)
    await learning.make_rows(progress)
    about = await _reuse(run, learning)
    reason = await learning.choose(progress)
    if reason is not None:
        return Found(untrained=f"no global model: {reason}")
    about |= {"learned_until": str(run.learned_until(segments.as_of)), "data_hash": learning.data_hash}
    about["fingerprint"] = learning.fingerprint
    choices = await learning.workspace.find(CHOICES)
    if choices is None:
        raise LookupError(f"{CHOICES} is not there after it was written")
    return Found(PlannedModels(key, None, {}, about), await run.artefacts.read(choices), learning=learning)


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
    files = await _files_of(run, best)
    if CUT not in files:
        raise ArtefactError(f"the champion has no {CUT}")
    return {name: await run.artefacts.read(files[name]) for name in BUNDLE if name in files}


async def _files_of(run: Run, best: Champion) -> dict[str, StoredFile]:
    if best.arquivo_path is None:
        raise ArtefactError("it has no arquivo_path")
    files = await run.artefacts.find(best.arquivo_path, best.hashes)
    if CHOICES not in files or VOLUME not in files:
        raise ArtefactError(f"{CHOICES} or {VOLUME} is not among its files")
    return files


def _workspace_key(run: Run, segments: Segments) -> str:
    """Stands for everything but the sales that checkpoints are made of."""
    parts = [str(segments.as_of), str(run.learned_until(segments.as_of)), str(run.options.seed)]
    parts += [repr(product) for product in segments.plan(AVAILABLE)]
    parts += [f"{name} {version}" for name, version in sorted(library_versions().items())]
    return sha256("\n".join(parts).encode()).hexdigest()[:32]
