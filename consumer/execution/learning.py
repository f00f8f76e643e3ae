"""Global models and the choice of a model for each product, learned from the sales up to one week.

Four stages, each a set of checkpoints in the execution's workspace: rows to learn from, a block of products at a
time; a first model that does not know the last weeks; how every candidate would have done in those weeks, block by
block; the choice. The last model, which knows every week, is fitted when it is needed. Whoever resumes finds what
is there and computes the rest, with the same bytes.

Where the extra ``tft`` is, a TFT of volume goes the same way beside the LGBM models. It may be done without: whatever
is wrong with it is a reason that is told, and nothing that ends a train.
"""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from consumer.errors import TransientError
from consumer.execution.lanes import side_by_side
from consumer.execution.learning_rows import SERIES, LearningRows
from consumer.execution.tasks import (
    ChunkWork,
    FitWork,
    Models,
    TooLittleToLearn,
    decide_choices,
    fit,
    measure_candidates,
)
from consumer.failpoints import reach
from consumer.forecasting.global_model import tft
from consumer.forecasting.global_model.booster import PARAMETERS, ROUNDS
from consumer.forecasting.types import ChunkRequest, Variant
from consumer.forecasting.versions import library_versions
from schemas.enums import TargetType

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from consumer.execution.learning_rows import Block
    from consumer.execution.progress import Progress
    from consumer.execution.run import Run
    from consumer.forecasting.types import PlannedProduct
    from consumer.ports.artefacts import StoredFile, Workspace

EVIDENCE_WEEKS: Final = 13  # held back from the first model, to see how it and the others do in them
CUT, CUT_REVENUE, CHOICES = "cut-volume.json", "cut-revenue.json", "choices.json"
VOLUME, REVENUE = "volume.json", "revenue.json"
CUT_TFT, TFT = "cut-tft.safetensors", "tft.safetensors"


class Learning:
    """What one execution learns of the sales up to ``known``.

    Args:
        products: Planned as without any evidence, in any order.
        known: The newest week that anything here may know.
        with_tft: Whether a TFT learns as well.

    Attributes:
        no_tft: Why no TFT was learned, None if one was, or if none was to be.
    """

    def __init__(
        self, run: Run, workspace: Workspace, products: Sequence[PlannedProduct], known: date, *, with_tft: bool = False
    ) -> None:
        self._run = run
        self._workspace = workspace
        self._known = known
        self._with_tft = with_tft
        self._rows = LearningRows(run, workspace, products, known, with_tft=with_tft)
        self.no_tft: str | None = None

    @property
    def workspace(self) -> Workspace:
        """Where its checkpoints are."""
        return self._workspace

    @property
    def has_tft(self) -> bool:
        """Whether a TFT is learned, as far as is known: ``choose`` may find that there is none."""
        return self._with_tft and self.no_tft is None

    @property
    def data_hash(self) -> str:
        """Of the sales that were learned from; the same for the same rows in any order."""
        return self._rows.data_hash

    @property
    def fingerprint(self) -> str:
        """Stands for everything that the models follow from: equal fingerprints give equal models."""
        parts = self._rows.fingerprint(with_tft=self.has_tft)
        parts += [f"{name} {version}" for name, version in sorted(library_versions(tft=self.has_tft).items())]
        parts += [str(self._run.options.seed), str(self._known), f"{sorted(PARAMETERS.items())} {ROUNDS}"]
        parts += [tft.RECIPE] if self.has_tft else []
        return sha256("\n".join(parts).encode()).hexdigest()

    async def make_rows(self, progress: Progress) -> None:
        """Have the rows of every block."""

        async def one(block: Block) -> None:
            await self._rows.of(block)
            await progress.advance(len(block.products))

        await side_by_side(self._run, self._rows.blocks, one)

    async def choose(self, progress: Progress) -> str | None:
        """Fit the first model, measure the candidates, choose; None, or why nothing can be learned.

        After this the workspace holds ``CUT`` and ``CHOICES``, and ``CUT_TFT`` if the choices speak of a TFT.
        """
        before = self._known - timedelta(weeks=EVIDENCE_WEEKS)
        cut = await self._model(CUT, TargetType.VOLUME, before)
        if isinstance(cut, TooLittleToLearn):
            return cut.reason
        network = await self._cut_tft() if self._with_tft else None
        if await self._workspace.find(CHOICES) is None:
            models: Models = (("volume", cut),)
            if self._run.task == "train":  # a backtest does not measure revenue
                revenue = await self._model(CUT_REVENUE, TargetType.FATURAMENTO, before)
                models += () if isinstance(revenue, TooLittleToLearn) else (("revenue", revenue),)
            models += () if network is None else (("tft", network),)

            async def one(block: Block) -> None:
                await self._evidence_of(block, models)
                await progress.advance(len(block.products))

            await side_by_side(self._run, self._rows.blocks, one)
            files = [await self._evidence_of(block, models) for block in self._rows.blocks]
            chosen = await self._run.compute.run(decide_choices, tuple(files), self._run.options.fit_seconds)
            await self._workspace.keep(CHOICES, chosen)
        return None

    async def last_model(self, name: str, target: TargetType) -> StoredFile | TooLittleToLearn:
        """Have the model of a target that knows every week."""
        return await self._model(name, target, self._known)

    async def _cut_tft(self) -> StoredFile | None:
        network = await self.tft(CUT_TFT)
        self.no_tft = network.reason if isinstance(network, TooLittleToLearn) else None
        return None if isinstance(network, TooLittleToLearn) else network

    async def tft(self, name: str) -> StoredFile | TooLittleToLearn:
        """Have a TFT: ``CUT_TFT``, which does not know the last weeks, or ``TFT``.

        Raises:
            TransientError: Its process died or took too long, for the first time. The second time is a reason.
        """
        known_until = self._known - timedelta(weeks=EVIDENCE_WEEKS if name == CUT_TFT else 0)
        failed = f"{name.removesuffix('.safetensors')}-failed.txt"
        failures = [await self._workspace.find(f"{attempt}-{failed}") for attempt in ("first", "second")]
        if failures[1] is not None:
            return TooLittleToLearn((await self._run.artefacts.read(failures[1])).decode())
        try:
            return await self._model(name, TargetType.VOLUME, known_until, Variant.TFT)
        except TransientError as error:
            if failures[0] is None:
                await self._workspace.keep(f"first-{failed}", str(error).encode())
                raise
            reason = f"its fit failed twice: {error}"
            await self._workspace.keep(f"second-{failed}", reason.encode())
            return TooLittleToLearn(reason)

    async def _model(
        self, name: str, target: TargetType, known_until: date, variant: Variant = Variant.LGBM
    ) -> StoredFile | TooLittleToLearn:
        """Have a model, fitted unless there is one of that name."""
        found = await self._workspace.find(name)
        if found is not None:
            return found
        learns_from = SERIES if variant is Variant.TFT else target
        files = [await self._rows.of(block, learns_from) for block in self._rows.blocks]
        work = FitWork(tuple(files), target, known_until, self._run.options.seed, variant)
        reach("in_fit")
        fitted = await self._run.compute.run(fit, work, self._run.options.fit_seconds)
        return fitted if isinstance(fitted, TooLittleToLearn) else await self._workspace.keep(name, fitted)

    async def _evidence_of(self, block: Block, models: Models) -> StoredFile:
        of = "tft-evidence" if any(kind == "tft" for kind, _ in models) else "evidence"
        name = f"{of}-{block.name}.json"
        found = await self._workspace.find(name)
        if found is not None:
            return found
        sales = await self._run.sales.weekly_sales([one.product_id for one in block.products], end=self._known)
        request = ChunkRequest(
            task="train",
            products=block.products,
            sales=sales,
            as_of=self._known,
            horizon=EVIDENCE_WEEKS,
            seed=self._run.options.seed,
        )
        evidence = await self._run.compute.run(measure_candidates, ChunkWork(request, models))
        kept = await self._workspace.keep(name, evidence)
        reach("after_checkpoint")
        return kept
