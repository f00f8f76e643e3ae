"""Steps 1 and 2: which products, which models, cut into chunks; decided once and stored before anything is computed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from consumer.errors import PermanentError
from consumer.execution.chunks import open_next_step
from consumer.execution.run import Plan, Run
from consumer.forecasting.classification import DemandShape, demand_shapes
from consumer.forecasting.planning import plan_chunks, plan_products, unclassified
from consumer.forecasting.types import ProductFailure, ProductOverview, Variant, WeeklySales
from consumer.steps import Step
from schemas.enums import ErrorCode, StepStatus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from consumer.forecasting.types import PlannedChunk, PlannedProduct
    from consumer.model import Execution

WORTH_TELLING_SECONDS: Final = 1.0  # a step that was faster is told together with what follows: one transaction less
SHAPE_BLOCK: Final = 1000  # products whose sales are held in memory at once while they are classified

_MAY_BE_MISSING: Final = {
    Step.EXECUTE_TFT: (Variant.TFT,),
    Step.EXECUTE_LGBM_ENSEMBLE: (Variant.LGBM, Variant.ENSEMBLE),
}


async def prepare(run: Run) -> Plan:
    """Find the products, choose their models, store the plan.

    Raises:
        PermanentError: There is no product to forecast.
    """
    began = run.clock.monotonic()
    as_of, overviews = await _load(run)
    wanted = run.claim.command.produto_ids or tuple(overviews)
    if run.clock.monotonic() - began >= WORTH_TELLING_SECONDS:
        async with run.queue.fenced(run.claim.lease) as work:
            _pass_on_to_segmenting(work.execution, run.clock.now(), len(overviews))
    products, unknown = await _choose_models(run, as_of, wanted, overviews)
    chunks = plan_chunks(products, run.options.chunk_products)
    plan = Plan(
        as_of=as_of,
        horizon=run.weeks,
        seed=run.options.seed,
        products_total=len(products),
        missing=unknown,
        notes=_notes(products),
    )
    async with run.queue.fenced(run.claim.lease) as work:
        _pass_on_to_segmenting(work.execution, run.clock.now(), len(overviews))
        await work.save_plan(plan.to_json(), chunks)
        _open_model_steps(run, work.execution, plan, products, chunks)
    return plan


def _pass_on_to_segmenting(execution: Execution, now: datetime, products: int) -> None:
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


async def _choose_models(
    run: Run, as_of: date, wanted: Sequence[str], overviews: dict[str, ProductOverview]
) -> tuple[tuple[PlannedProduct, ...], tuple[ProductFailure, ...]]:
    """Step 2: classes from the database, computed where there are none; models by the table and its overrides."""
    profiles = await run.sales.profiles(wanted)
    known = [profiles[product_id] for product_id in wanted if product_id in profiles]
    unknown = tuple(
        ProductFailure(product_id, "unknown-product", f"produto has no row with id {product_id!r}")
        for product_id in wanted
        if product_id not in profiles
    )
    learned_until = as_of if run.task == "predict" else as_of - timedelta(weeks=run.weeks)
    if any(profile.classe_abc is None for profile in known):
        overviews = await _with_revenue_of_all(run, overviews, learned_until)
    shapes = await _shapes(run, unclassified(known), learned_until)
    products = plan_products(known, overviews, shapes, as_of=as_of, modelo=run.claim.command.modelo)
    return products, unknown


async def _with_revenue_of_all(
    run: Run, overviews: dict[str, ProductOverview], until: date
) -> dict[str, ProductOverview]:
    """Classes are shares of all products' revenue, and know nothing of the weeks that are held out."""
    everything = {entry.product_id: entry for entry in await run.sales.overview(None, until)}
    asked = {
        name: replace(entry, revenue_52_weeks=everything[name].revenue_52_weeks if name in everything else 0.0)
        for name, entry in overviews.items()
    }
    return everything | asked


async def _shapes(run: Run, product_ids: Sequence[str], until: date) -> dict[str, DemandShape]:
    shapes: dict[str, DemandShape] = {}
    for start in range(0, len(product_ids), SHAPE_BLOCK):
        sales = await run.sales.weekly_sales(product_ids[start : start + SHAPE_BLOCK], end=until)
        shapes |= await run.compute.run(_shapes_of, (sales, until))
    return shapes


def _shapes_of(request: tuple[WeeklySales, date]) -> dict[str, DemandShape]:
    return demand_shapes(*request)


def _notes(products: Sequence[PlannedProduct]) -> dict[Step, str]:
    """Why a model step may stay without products: its models are not available, so many products fall back."""
    fallbacks = Counter(product.fallback for product in products if product.fallback)
    notes: dict[Step, str] = {}
    for step, names in _MAY_BE_MISSING.items():
        about = {reason: count for reason, count in fallbacks.items() if any(name in reason for name in names)}
        if about:
            notes[step] = "; ".join(f"{reason}: {count} products use their fallback" for reason, count in about.items())
    return notes


def _open_model_steps(
    run: Run,
    execution: Execution,
    plan: Plan,
    products: Sequence[PlannedProduct],
    chunks: Sequence[PlannedChunk],
) -> None:
    now = run.clock.now()
    execution.products_total = plan.products_total
    details = {"chosen_by": dict(Counter(product.reason for product in products)), "chunks": len(chunks)}
    execution.complete_step(Step.SEGMENT_SKUS, now, records=len(products), details=details)
    sizes: Counter[Step] = Counter()
    for chunk in chunks:
        sizes[Step(chunk.step_order)] += len(chunk.products)
    open_next_step(execution, sizes, plan.notes, now)
