"""Global models and the choice of a model for each product, learned from the sales up to one week.

Four stages, each a set of checkpoints in the execution's workspace: rows to learn from, a block of products at a
time; a first model that does not know the last weeks; how every candidate would have done in those weeks, block by
block; the choice. The last model, which knows every week, is fitted when it is needed. Whoever resumes finds what
is there and computes the rest, with the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b, sha256
from typing import TYPE_CHECKING, Final

from consumer.execution.lanes import side_by_side
from consumer.execution.tasks import (
    ChunkWork,
    FitWork,
    Models,
    TooLittleToLearn,
    decide_choices,
    fit,
    make_rows,
    measure_candidates,
)
from consumer.failpoints import reach
from consumer.forecasting.global_model.booster import PARAMETERS, ROUNDS
from consumer.forecasting.training import TrainingRequest
from consumer.forecasting.types import ChunkRequest
from consumer.forecasting.versions import library_versions
from schemas.enums import TargetType

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from consumer.artefact_ports import StoredFile, Workspace
    from consumer.execution.progress import Progress
    from consumer.execution.run import Run
    from consumer.forecasting.types import PlannedProduct

EVIDENCE_WEEKS: Final = 13  # held back from the first model, to see how it and the others do in them
CUT, CUT_REVENUE, CHOICES = "cut-volume.json", "cut-revenue.json", "choices.json"
VOLUME, REVENUE = "volume.json", "revenue.json"
_DATA_HASH_BITS: Final = 128


@dataclass(frozen=True, slots=True)
class Block:
    """Products whose rows are made, and whose candidates are measured, in one call."""

    name: str
    products: tuple[PlannedProduct, ...]


class Learning:
    """What one execution learns of the sales up to ``known``.

    Args:
        products: Planned as without any evidence, in any order.
        known: The newest week that anything here may know.
    """

    def __init__(self, run: Run, workspace: Workspace, products: Sequence[PlannedProduct], known: date) -> None:
        self._run = run
        self._workspace = workspace
        self._known = known
        self._total = len(products)
        self._blocks = _blocks(products, run.options.chunk_products)
        self._rows: dict[tuple[str, TargetType], StoredFile] = {}
        self._sales_hashes: dict[str, int] = {}

    @property
    def workspace(self) -> Workspace:
        """Where its checkpoints are."""
        return self._workspace

    @property
    def data_hash(self) -> str:
        """Of the sales that were learned from; the same for the same rows in any order."""
        total = sum(self._sales_hashes.values()) % 2**_DATA_HASH_BITS
        return f"{total:0{_DATA_HASH_BITS // 4}x}"

    @property
    def fingerprint(self) -> str:
        """Stands for everything that the models follow from: equal fingerprints give equal models."""
        parts = [f"{block} {target} {file.sha256}" for (block, target), file in sorted(self._rows.items())]
        parts += [f"{name} {version}" for name, version in sorted(library_versions().items())]
        parts += [str(self._run.options.seed), str(self._known), f"{sorted(PARAMETERS.items())} {ROUNDS}"]
        return sha256("\n".join(parts).encode()).hexdigest()

    async def make_rows(self, progress: Progress) -> None:
        """Have the rows of every block."""

        async def one(block: Block) -> None:
            await self._rows_of(block)
            await progress.advance(len(block.products))

        await side_by_side(self._run, self._blocks, one)

    async def choose(self, progress: Progress) -> str | None:
        """Fit the first model, measure the candidates, choose; None, or why nothing can be learned.

        After this the workspace holds ``CUT`` and ``CHOICES``.
        """
        before = self._known - timedelta(weeks=EVIDENCE_WEEKS)
        cut = await self._model(CUT, TargetType.VOLUME, before)
        if isinstance(cut, TooLittleToLearn):
            return cut.reason
        if await self._workspace.find(CHOICES) is None:
            models: Models = (("volume", cut),)
            if self._run.task == "train":  # a backtest does not measure revenue
                revenue = await self._model(CUT_REVENUE, TargetType.FATURAMENTO, before)
                models += () if isinstance(revenue, TooLittleToLearn) else (("revenue", revenue),)

            async def one(block: Block) -> None:
                await self._evidence_of(block, models)
                await progress.advance(len(block.products))

            await side_by_side(self._run, self._blocks, one)
            files = [await self._evidence_of(block, models) for block in self._blocks]
            chosen = await self._run.compute.run(decide_choices, tuple(files), self._run.options.fit_seconds)
            await self._workspace.keep(CHOICES, chosen)
        return None

    async def last_model(self, name: str, target: TargetType) -> StoredFile | TooLittleToLearn:
        """Have the model of a target that knows every week."""
        return await self._model(name, target, self._known)

    async def _model(self, name: str, target: TargetType, known_until: date) -> StoredFile | TooLittleToLearn:
        """Have a model, fitted unless there is one of that name."""
        found = await self._workspace.find(name)
        if found is not None:
            return found
        files = [await self._rows_of(block, target) for block in self._blocks]
        work = FitWork(tuple(files), target, known_until, self._run.options.seed)
        reach("in_fit")
        fitted = await self._run.compute.run(fit, work, self._run.options.fit_seconds)
        return fitted if isinstance(fitted, TooLittleToLearn) else await self._workspace.keep(name, fitted)

    async def _rows_of(self, block: Block, target: TargetType = TargetType.VOLUME) -> StoredFile:
        if (block.name, target) not in self._rows:
            await self._find_or_make_rows(block)
        return self._rows[block.name, target]

    async def _find_or_make_rows(self, block: Block) -> None:
        names = {one: f"rows-{block.name}-{one.lower()}.arrow" for one in TargetType}
        hashed = f"sales-{block.name}.txt"
        found = {one: await self._workspace.find(name) for one, name in names.items()}
        sales_hash = await self._workspace.find(hashed)
        if sales_hash is None or None in found.values():
            sales = await self._run.sales.weekly_sales([one.product_id for one in block.products], end=self._known)
            request = TrainingRequest(block.products, sales, self._known, self._total, self._run.options.seed)
            rows = await self._run.compute.run(make_rows, request)
            found = {one: await self._workspace.keep(names[one], content) for one, content in rows.files.items()}
            sales_hash = await self._workspace.keep(hashed, f"{rows.data_hash:x}".encode())
            reach("after_checkpoint")
        self._sales_hashes[block.name] = int(await self._run.artefacts.read(sales_hash), 16)
        self._rows |= {(block.name, one): file for one, file in found.items() if file is not None}

    async def _evidence_of(self, block: Block, models: Models) -> StoredFile:
        name = f"evidence-{block.name}.json"
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


def _blocks(products: Sequence[PlannedProduct], size: int) -> tuple[Block, ...]:
    """Blocks named by what is in them, so that another set of products never meets their checkpoints."""
    ordered = sorted((one for one in products if one.models), key=lambda one: one.product_id)
    cut = [tuple(ordered[start : start + size]) for start in range(0, len(ordered), size)]
    return tuple(Block(_name_of(number, part), part) for number, part in enumerate(cut))


def _name_of(number: int, products: tuple[PlannedProduct, ...]) -> str:
    content = blake2b(digest_size=8)
    for product in products:
        content.update(repr(product).encode())
    return f"{number:05d}-{content.hexdigest()}"
