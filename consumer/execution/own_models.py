"""What a train or backtest learns for its chunks, fitted when it is needed; the files that a train stores."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from consumer.errors import TransientError
from consumer.execution.learning import CHOICES, CUT, CUT_TFT, REVENUE, TFT, VOLUME, Learning
from consumer.execution.progress import Progress
from consumer.execution.segmenting import segment
from consumer.execution.tasks import TooLittleToLearn
from consumer.forecasting.selection import AVAILABLE
from consumer.steps import Step
from schemas.enums import TargetType

if TYPE_CHECKING:
    from consumer.execution.run import Plan, PlannedModels, Run
    from consumer.execution.segmenting import Segments
    from consumer.execution.tasks import Models
    from consumer.ports.artefacts import StoredFile

BUNDLE: Final = (CUT, VOLUME, REVENUE, CHOICES)
TFT_BUNDLE: Final = (CUT_TFT, TFT, CHOICES)
_TARGETS: Final = {VOLUME: TargetType.VOLUME, REVENUE: TargetType.FATURAMENTO}


def open_learning(run: Run, key: str, segments: Segments, *, with_tft: bool) -> Learning:
    """The learning of an execution: on what was known, without the overrides of its command."""
    workspace = run.artefacts.workspace(run.claim.lease.execucao_id, key)
    until = run.learned_until(segments.as_of)
    return Learning(run, workspace, segments.plan(AVAILABLE), until, with_tft=with_tft)


class OwnModels:
    """What a train or backtest learns; files that are missing, as on another machine after a crash, are made again.

    A process without the extra ``tft`` that goes on with a plan of one that has it takes what is there of LGBM, and
    makes what is missing in a place of its own: what it learns without the TFT is not what the other would find.

    Attributes:
        tft_lost: Why the planned TFT cannot be used here; then the models that come next do its work.
    """

    lost: str | None = None

    def __init__(self, run: Run, plan: Plan, planned: PlannedModels, learning: Learning | None = None) -> None:
        key = str(planned.workspace)
        self._run = run
        self._plan = plan
        self._planned_tft = planned.tft
        self._learning = learning
        self.tft_lost = run.options.no_tft if planned.tft else None
        self._key = key if self.tft_lost is None else f"{key}-without-tft"
        owner = run.claim.lease.execucao_id
        self._workspaces = [run.artefacts.workspace(owner, one) for one in dict.fromkeys((key, self._key))]

    async def opening(self) -> Models:
        """Files that chunks get from the start: a train measures with the model that does not know the holdout."""
        choices = ("choices", await self._chosen(CHOICES))
        if self._run.task == "backtest":
            return (choices,)
        return (choices, ("volume", await self._chosen(CUT)), *await self._tft(CUT_TFT))

    async def closing(self, step: Step) -> Models:
        """Files that chunks get once the last models are fitted, which a backtest measures and a train only stores.

        Args:
            step: Where the execution is. What is only stored is fitted in the step of these models, or later.
        """
        opening = await self.opening()
        if self._run.task == "backtest":
            volume = await self._last(VOLUME)
            return (*opening, *(() if volume is None else (("volume", volume),)), *await self._tft(TFT))
        await self._tft(TFT)
        if step is not Step.EXECUTE_TFT:
            await self._last(VOLUME)
            await self._last(REVENUE)
        return opening

    async def bundle(self) -> dict[str, bytes]:
        """What a train stores, by name; without a model of revenue where too little money was made to learn from."""
        await self.closing(Step.FINALIZE)
        return await self._contents(BUNDLE)

    async def tft_bundle(self) -> dict[str, bytes]:
        """What a train stores of its TFT, nothing if it has none."""
        if not await self._tft(CUT_TFT) or not await self._tft(TFT):
            return {}
        return await self._contents(TFT_BUNDLE)

    async def _contents(self, names: tuple[str, ...]) -> dict[str, bytes]:
        found = {name: await self._find(name) for name in names}
        return {name: await self._run.artefacts.read(file) for name, file in found.items() if file is not None}

    async def _find(self, name: str) -> StoredFile | None:
        for workspace in self._workspaces:
            found = await workspace.find(name)
            if found is not None:
                return found
        return None

    async def _chosen(self, name: str) -> StoredFile:
        found = await self._find(name)
        if found is None:
            learning = await self._learned()
            reason = await learning.choose(Progress(self._run, None, 0))
            found = await learning.workspace.find(name)
            if found is None:
                raise TransientError(f"the sales changed while the execution ran: {reason}")
        return found

    async def _last(self, name: str) -> StoredFile | None:
        found = await self._find(name)
        if found is not None:
            return found
        fitted = await (await self._learned()).last_model(name, _TARGETS[name])
        return None if isinstance(fitted, TooLittleToLearn) else fitted

    async def _tft(self, name: str) -> Models:
        """The TFT, unless there is none in the plan or it is lost."""
        if not self._planned_tft or self.tft_lost is not None:
            return ()
        found = await self._find(name) or await (await self._learned()).tft(name)
        if isinstance(found, TooLittleToLearn):
            self.tft_lost = found.reason
            return ()
        return (("tft", found),)

    async def _learned(self) -> Learning:
        """Of this attempt; a resumed one segments again, and finds the checkpoints that are still there."""
        if self._learning is None:
            run, as_of = self._run, self._plan.as_of
            overviews = await run.sales.overview(run.claim.command.produto_ids, as_of)
            segments = await segment(run, as_of, {entry.product_id: entry for entry in overviews})
            with_tft = self._planned_tft and self._run.options.no_tft is None
            self._learning = await asyncio.to_thread(open_learning, run, self._key, segments, with_tft=with_tft)
        return self._learning
