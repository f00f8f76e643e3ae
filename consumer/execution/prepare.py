"""Steps 1 and 2: which products, which models, cut into chunks; decided once, however often it is resumed."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from consumer.errors import PermanentError
from consumer.execution.chunks import open_next_step
from consumer.execution.finding import NEED_TRAINING, Found, find_models
from consumer.execution.run import Plan, Run
from consumer.execution.segmenting import Segments, segment
from consumer.forecasting.choices import load_choices
from consumer.forecasting.planning import plan_chunks, step_order
from consumer.forecasting.types import ProductOverview, Variant
from consumer.steps import Step
from schemas.enums import ErrorCode, StepStatus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from consumer.execution.learning import Learning
    from consumer.forecasting.types import PlannedChunk, PlannedProduct
    from consumer.model import Execution

WORTH_TELLING_SECONDS: Final = 1.0  # what was faster is told together with what follows: one transaction less
BY_EVIDENCE: Final = "backtest: "  # how ``plan_products`` begins the reason of a choice that differs from the table

_MAY_BE_MISSING: Final = {
    Step.EXECUTE_TFT: (Variant.TFT,),
    Step.EXECUTE_LGBM_ENSEMBLE: (Variant.LGBM, Variant.ENSEMBLE),
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """What steps 1 and 2 decided, not stored yet.

    Attributes:
        loaded: Products with sales, and when that was known.
        planned_at: When step 2 ended.
    """

    plan: Plan
    products: tuple[PlannedProduct, ...]
    chunks: tuple[PlannedChunk, ...]
    learning: Learning | None
    loaded: tuple[int, datetime]
    planned_at: datetime


async def prepare(run: Run) -> Prepared:
    """Find the products, learn from them or find who did, choose their models.

    Raises:
        PermanentError: There is no product to forecast.
        DrainingError: The process shuts down; what was learned so far is kept.
    """
    opening = Opening(run)
    preparing = asyncio.create_task(_prepare(run, opening))
    try:
        done, _ = await asyncio.wait((preparing,), timeout=WORTH_TELLING_SECONDS)
        if not done:
            await opening.tell()
        return await preparing
    finally:
        if not preparing.done():
            preparing.cancel()
            await asyncio.wait((preparing,))


class Opening:
    """Where an attempt without a plan is: in step 1 or, once that has ended, in step 2."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.loaded: tuple[int, datetime] | None = None

    async def tell(self) -> None:
        """Let subscribers know that the step runs which runs now."""
        async with self._run.queue.fenced(self._run.claim.lease) as work:
            if self.loaded is not None:
                _pass_on_to_segmenting(work.execution, *self.loaded)
            else:
                work.execution.start_step(Step.LOAD_DATA, self._run.clock.now())


async def _prepare(run: Run, opening: Opening) -> Prepared:
    began = run.clock.monotonic()
    as_of, overviews = await _load(run)
    opening.loaded = loaded = len(overviews), run.clock.now()
    if run.task != "predict" or run.clock.monotonic() - began >= WORTH_TELLING_SECONDS:
        await opening.tell()
    segments = await segment(run, as_of, overviews)
    found = await find_models(run, segments)
    few = len(segments.profiles) <= run.options.chunk_products
    products = _planned(run, segments, found) if few else await asyncio.to_thread(_planned, run, segments, found)
    chunks = plan_chunks(products, run.options.chunk_products, run.options.processes)
    plan = _plan(run, segments, found, products)
    return Prepared(plan, products, chunks, found.learning, loaded, run.clock.now())


async def store_plan(run: Run, prepared: Prepared) -> None:
    """Keep and tell what was decided, before a chunk is computed that a later attempt must not compute again."""
    async with run.queue.fenced(run.claim.lease) as work:
        await work.save_plan(prepared.plan.to_json(), prepared.chunks)
        tell_plan(run, work.execution, prepared)


def tell_plan(run: Run, execution: Execution, prepared: Prepared) -> None:
    """End steps 1 and 2 when they ended, and open the first model step."""
    _pass_on_to_segmenting(execution, *prepared.loaded)
    _open_model_steps(run, execution, prepared)


def sizes_of(chunks: Sequence[PlannedChunk]) -> Counter[Step]:
    """Products of each model step."""
    sizes: Counter[Step] = Counter()
    for chunk in chunks:
        sizes[Step(chunk.step_order)] += len(chunk.products)
    return sizes


def _pass_on_to_segmenting(execution: Execution, products: int, now: datetime) -> None:
    """Close step 1 and open step 2, unless that was told already."""
    if execution.steps[Step.LOAD_DATA].status is StepStatus.RUNNING:
        execution.complete_step(Step.LOAD_DATA, now, records=products)
        execution.start_step(Step.SEGMENT_SKUS, now)


async def _load(run: Run) -> tuple[date, dict[str, ProductOverview]]:
    """Step 1: the newest week and what each product's history amounts to."""
    as_of = await run.sales.newest_week()
    if as_of is None:
        raise PermanentError(ErrorCode.NO_DATA, "serie_temporal holds no sales at all; ingest history first")
    wanted = run.claim.command.produto_ids
    overviews = {entry.product_id: entry for entry in await run.sales.overview(wanted, as_of)}
    if not overviews:
        asked = "any product" if wanted is None else f"the {len(wanted)} products of produto_ids"
        raise PermanentError(ErrorCode.NO_DATA, f"serie_temporal holds no sales of {asked}")
    return as_of, overviews


def _planned(run: Run, segments: Segments, found: Found) -> tuple[PlannedProduct, ...]:
    return segments.plan(
        found.available,
        modelo=run.claim.command.modelo,
        choices=None if found.choices is None else load_choices(found.choices),
        automatic=run.options.automatic_choice,
    )


def _plan(run: Run, segments: Segments, found: Found, products: Sequence[PlannedProduct]) -> Plan:
    steps = [step_order(product) for product in products if NEED_TRAINING.intersection(product.models)]
    models = None if found.models is None else replace(found.models, first_step=min(steps, default=None))
    return Plan(
        as_of=segments.as_of,
        horizon=run.weeks,
        seed=run.options.seed,
        products_total=len(products),
        missing=segments.unknown,
        notes=_notes(products, found),
        models=models,
        untrained=found.untrained,
    )


def _notes(products: Sequence[PlannedProduct], found: Found) -> dict[Step, str]:
    """Why a model step may stay without products: its models are not available, so many products fall back."""
    fallbacks = Counter(product.fallback for product in products if product.fallback)
    missing = {Step.EXECUTE_TFT: found.no_tft, Step.EXECUTE_LGBM_ENSEMBLE: found.untrained}
    notes: dict[Step, str] = {}
    for step, names in _MAY_BE_MISSING.items():
        about = {reason: count for reason, count in fallbacks.items() if any(name in reason for name in names)}
        reasons = [f"{reason}: {count} products use their fallback" for reason, count in about.items()]
        why = missing[step]
        if why is not None:
            reasons.insert(0, why)
        if reasons:
            notes[step] = "; ".join(reasons)
    return notes


def _open_model_steps(run: Run, execution: Execution, prepared: Prepared) -> None:
    plan, now = prepared.plan, prepared.planned_at
    execution.products_total = plan.products_total
    chosen_by = Counter(product.reason for product in prepared.products)
    details: dict[str, Any] = {
        "chosen_by": dict(chosen_by),
        "differs_from_table": sum(count for reason, count in chosen_by.items() if reason.startswith(BY_EVIDENCE)),
        "trained_models": plan.untrained if plan.models is None else plan.models.about,
        "chunks": len(prepared.chunks),
    }
    execution.complete_step(Step.SEGMENT_SKUS, now, records=len(prepared.products), details=details)
    open_next_step(run, plan, execution, sizes_of(prepared.chunks), now)
