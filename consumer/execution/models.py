"""The files of trained models that an execution's chunks get, made when they are needed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from consumer.artefact_ports import ArtefactError, StoredFile
from consumer.errors import TransientError
from consumer.execution.learning import CHOICES, CUT, REVENUE, VOLUME, Learning
from consumer.execution.progress import Progress
from consumer.execution.segmenting import segment
from consumer.execution.tasks import TooLittleToLearn, parameters_of
from consumer.forecasting.global_model.base import UnusableArtefactError
from consumer.forecasting.selection import AVAILABLE
from consumer.verified_files import UnusableFileError
from schemas.enums import TargetType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from consumer.execution.run import Plan, Run
    from consumer.execution.segmenting import Segments
    from consumer.execution.tasks import Models

BUNDLE: Final = (CUT, VOLUME, REVENUE, CHOICES)
KINDS: Final = {VOLUME: "volume", REVENUE: "revenue", CHOICES: "choices"}  # what ``load_trained`` calls them
_TARGETS: Final = {VOLUME: TargetType.VOLUME, REVENUE: TargetType.FATURAMENTO}


def as_models(files: Mapping[str, StoredFile]) -> Models:
    """What a predict loads of a stored model's files."""
    return tuple((kind, files[name]) for name, kind in KINDS.items() if name in files)


def open_learning(run: Run, key: str, segments: Segments) -> Learning:
    """The learning of an execution: on what was known, without the overrides of its command."""
    workspace = run.artefacts.workspace(run.claim.lease.execucao_id, key)
    return Learning(run, workspace, segments.plan(AVAILABLE), run.learned_until(segments.as_of))


class NoModels:
    """Nothing was trained; what needs no training does all."""

    lost: str | None = None

    async def opening(self) -> Models:
        """None."""
        return ()

    async def closing(self) -> Models:
        """None."""
        return ()


class ChampionModels:
    """The champion that a predict was planned with.

    Attributes:
        lost: Why it cannot be used any more; then the models that come next in each product's plan do its work.
    """

    def __init__(self, run: Run, reference: str, hashes: Mapping[str, str]) -> None:
        self._run = run
        self._reference = reference
        self._hashes = hashes
        self.lost: str | None = None

    async def opening(self) -> Models:
        """Files of every chunk."""
        try:
            models = as_models(await self._run.artefacts.find(self._reference, self._hashes))
            await self._run.compute.run(parameters_of, models)  # another version of the service may go on with it
        except (ArtefactError, UnusableFileError, UnusableArtefactError) as error:
            self.lost = str(error)
            return ()
        return models

    async def closing(self) -> Models:
        """The same."""
        return await self.opening()


class OwnModels:
    """What a train or backtest learns; files that are missing, as on another machine after a crash, are made again."""

    lost: str | None = None

    def __init__(self, run: Run, plan: Plan, key: str, learning: Learning | None = None) -> None:
        self._run = run
        self._plan = plan
        self._key = key
        self._learning = learning
        self._workspace = run.artefacts.workspace(run.claim.lease.execucao_id, key)

    async def opening(self) -> Models:
        """Files that chunks get from the start: a train measures with the model that does not know the holdout."""
        choices = ("choices", await self._chosen(CHOICES))
        return (choices,) if self._run.task == "backtest" else (choices, ("volume", await self._chosen(CUT)))

    async def closing(self) -> Models:
        """Files that chunks get once the last model is fitted, which a backtest measures and a train only stores."""
        opening = await self.opening()
        volume = await self._last(VOLUME)
        if self._run.task == "backtest":
            return opening if volume is None else (*opening, ("volume", volume))
        await self._last(REVENUE)
        return opening

    async def bundle(self) -> dict[str, bytes]:
        """What a train stores, by name; without a model of revenue where too little money was made to learn from."""
        await self.closing()
        found = {name: await self._workspace.find(name) for name in BUNDLE}
        return {name: await self._run.artefacts.read(file) for name, file in found.items() if file is not None}

    async def _chosen(self, name: str) -> StoredFile:
        found = await self._workspace.find(name)
        if found is None:
            learning = await self._learned()
            reason = await learning.choose(Progress(self._run, None, 0))
            found = await learning.workspace.find(name)
            if found is None:
                raise TransientError(f"the sales changed while the execution ran: {reason}")
        return found

    async def _last(self, name: str) -> StoredFile | None:
        found = await self._workspace.find(name)
        if found is not None:
            return found
        fitted = await (await self._learned()).last_model(name, _TARGETS[name])
        return None if isinstance(fitted, TooLittleToLearn) else fitted

    async def _learned(self) -> Learning:
        """Of this attempt; a resumed one segments again, and finds the checkpoints that are still there."""
        if self._learning is None:
            run, as_of = self._run, self._plan.as_of
            overviews = await run.sales.overview(run.claim.command.produto_ids, as_of)
            segments = await segment(run, as_of, {entry.product_id: entry for entry in overviews})
            self._learning = await asyncio.to_thread(open_learning, run, self._key, segments)
        return self._learning


ModelsOfRun = NoModels | ChampionModels | OwnModels


def open_models(run: Run, plan: Plan, learning: Learning | None = None) -> ModelsOfRun:
    """The models that a plan was made with."""
    models = plan.models
    if models is None:
        return NoModels()
    if models.workspace is not None:
        return OwnModels(run, plan, models.workspace, learning)
    return ChampionModels(run, str(models.reference), models.hashes)
