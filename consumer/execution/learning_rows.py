"""The rows that an execution's models learn from: files in its workspace, a block of products each."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from consumer.execution.tasks import make_rows
from consumer.failpoints import reach
from consumer.forecasting.training import TrainingRequest
from schemas.enums import TargetType

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from consumer.execution.run import Run
    from consumer.forecasting.types import PlannedProduct
    from consumer.ports.artefacts import StoredFile, Workspace

SERIES: Final = "series"  # what a TFT learns from, beside the rows of each target
_DATA_HASH_BITS: Final = 128


@dataclass(frozen=True, slots=True)
class Block:
    """Products whose rows are made, and whose candidates are measured, in one call."""

    name: str
    products: tuple[PlannedProduct, ...]


class LearningRows:
    """Makes what is not in the workspace yet, and remembers what was asked for.

    Args:
        products: Planned as without any evidence, in any order.
        known: The newest week that anything here may know.
        with_tft: Whether a TFT learns as well.
    """

    def __init__(
        self, run: Run, workspace: Workspace, products: Sequence[PlannedProduct], known: date, *, with_tft: bool
    ) -> None:
        self._run = run
        self._workspace = workspace
        self._known = known
        self._total = len(products)
        self._with_tft = with_tft
        self._files: dict[tuple[str, str], StoredFile] = {}
        self._sales_hashes: dict[str, int] = {}
        self.blocks = _blocks(products, run.options.chunk_products)

    @property
    def data_hash(self) -> str:
        """Of the sales that were learned from; the same for the same rows in any order."""
        total = sum(self._sales_hashes.values()) % 2**_DATA_HASH_BITS
        return f"{total:0{_DATA_HASH_BITS // 4}x}"

    def fingerprint(self, *, with_tft: bool) -> list[str]:
        """What stands for the rows, those of a TFT only if it is asked for."""
        files = sorted(self._files.items())
        return [f"{block} {kind} {file.sha256}" for (block, kind), file in files if kind != SERIES or with_tft]

    async def of(self, block: Block, kind: str = TargetType.VOLUME) -> StoredFile:
        """The rows of a block: of a target, or ``SERIES``."""
        if (block.name, kind) not in self._files:
            await self._find_or_make(block)
        return self._files[block.name, kind]

    async def _find_or_make(self, block: Block) -> None:
        kinds = (*TargetType, *((SERIES,) if self._with_tft else ()))
        names = {one: f"rows-{block.name}-{one.lower()}.arrow" for one in kinds}
        hashed = f"sales-{block.name}.txt"
        found = {one: await self._workspace.find(name) for one, name in names.items()}
        sales_hash = await self._workspace.find(hashed)
        if sales_hash is None or None in found.values():
            sales = await self._run.sales.weekly_sales([one.product_id for one in block.products], end=self._known)
            request = TrainingRequest(
                block.products, sales, self._known, self._total, self._run.options.seed, self._with_tft
            )
            made = await self._run.compute.run(make_rows, request)
            contents: dict[str, bytes] = dict(made.rows.by_target.items())
            if made.rows.series is not None:
                contents[SERIES] = made.rows.series
            found = {one: await self._workspace.keep(names[one], content) for one, content in contents.items()}
            sales_hash = await self._workspace.keep(hashed, f"{made.data_hash:x}".encode())
            reach("after_checkpoint")
        self._sales_hashes[block.name] = int(await self._run.artefacts.read(sales_hash), 16)
        self._files |= {(block.name, one): file for one, file in found.items() if file is not None}


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
