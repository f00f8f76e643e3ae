"""The files of trained models that an execution's chunks get."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from consumer.execution.learning import CHOICES, REVENUE, TFT, VOLUME
from consumer.execution.own_models import OwnModels
from consumer.execution.tasks import parameters_of
from consumer.forecasting.global_model.base import UnusableArtefactError
from consumer.ports.artefacts import ArtefactError
from consumer.verified_files import UnusableFileError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from consumer.execution.learning import Learning
    from consumer.execution.run import Plan, PlannedModels, Run
    from consumer.execution.tasks import Models
    from consumer.ports.artefacts import StoredFile
    from consumer.steps import Step

KINDS: Final = {VOLUME: "volume", REVENUE: "revenue", CHOICES: "choices"}  # what ``load_trained`` calls them
TFT_KINDS: Final = {TFT: "tft", CHOICES: "tft_choices"}  # a champion TFT has the choices of its own train
_UNUSABLE: Final = (ArtefactError, UnusableFileError, UnusableArtefactError)


def as_models(files: Mapping[str, StoredFile], kinds: Mapping[str, str] = KINDS) -> Models:
    """What a predict loads of a stored model's files."""
    return tuple((kind, files[name]) for name, kind in kinds.items() if name in files)


def about_models(plan: Plan, models: ModelsOfRun) -> dict[str, Any]:
    """What the step log and the summary tell of a plan's trained models; nothing without any."""
    if plan.models is None:
        return {}
    if models.tft_lost is None:
        return plan.models.about
    return {**plan.models.about, "tft": {"used": False, "reason": models.tft_lost}}


class NoModels:
    """Nothing was trained; what needs no training does all."""

    lost: str | None = None
    tft_lost: str | None = None

    async def opening(self) -> Models:
        """None."""
        return ()

    async def closing(self, step: Step) -> Models:
        """None."""
        del step
        return ()


class ChampionModels:
    """The champions that a predict was planned with.

    Attributes:
        lost: Why they cannot be used any more; then the models that come next in each product's plan do their work.
        tft_lost: The same of the TFT alone.
    """

    def __init__(self, run: Run, planned: PlannedModels) -> None:
        self._run = run
        self._planned = planned
        self.lost: str | None = None
        self.tft_lost: str | None = None

    async def opening(self) -> Models:
        """Files of every chunk."""
        planned = self._planned
        try:
            models = await self._usable(str(planned.reference), planned.hashes, KINDS)
        except _UNUSABLE as error:
            self.lost = str(error)
            return ()
        return models + await self._opening_tft()

    async def closing(self, step: Step) -> Models:
        """The same."""
        del step
        return await self.opening()

    async def _opening_tft(self) -> Models:
        planned, missing = self._planned, self._run.options.no_tft
        if not planned.tft or missing is not None:
            self.tft_lost = missing if planned.tft else None
            return ()
        try:
            return await self._usable(str(planned.tft_reference), planned.tft_hashes, TFT_KINDS)
        except _UNUSABLE as error:
            self.tft_lost = str(error)
            return ()

    async def _usable(self, reference: str, hashes: Mapping[str, str], kinds: Mapping[str, str]) -> Models:
        models = as_models(await self._run.artefacts.find(reference, hashes), kinds)
        await self._run.compute.run(parameters_of, models)  # another version of the service may go on with it
        return models


ModelsOfRun = NoModels | ChampionModels | OwnModels


def open_models(run: Run, plan: Plan, learning: Learning | None = None) -> ModelsOfRun:
    """The models that a plan was made with."""
    models = plan.models
    if models is None:
        return NoModels()
    if models.workspace is not None:
        return OwnModels(run, plan, models, learning)
    return ChampionModels(run, models)
