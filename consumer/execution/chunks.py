"""Steps 3 to 6: chunks of products through the model processes, each committed whole.

A chunk's results, its summary, its step's counters and the events are one transaction: a crash loses at most the
chunks that were being computed, and a resumed execution computes nothing again that was committed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from consumer.execution.lanes import side_by_side
from consumer.execution.models import about_models
from consumer.execution.progress import PROGRESS_SECONDS
from consumer.execution.tasks import ChunkWork, compute_with_models, used_by
from consumer.failpoints import reach
from consumer.forecasting.compute import compute_chunk
from consumer.forecasting.summary import merge
from consumer.forecasting.types import ChunkRequest, ChunkResult
from consumer.steps import MODEL_STEPS, Step
from schemas.enums import StepStatus

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from consumer.execution.models import ModelsOfRun
    from consumer.execution.run import Plan, Run
    from consumer.execution.tasks import Models
    from consumer.forecasting.types import PlannedChunk, PlannedProduct
    from consumer.model import Execution
    from consumer.ports.fenced import FencedWork
    from consumer.ports.queue import ChunkProgress

    Begun = Mapping[int, asyncio.Task[ChunkResult]]

LAST_MODEL_STEP: Final = Step.EXECUTE_LGBM_ENSEMBLE


async def compute_chunks(
    run: Run, plan: Plan, models: ModelsOfRun, planned: Sequence[PlannedChunk] = (), begun: Begun | None = None
) -> None:
    """Compute what is not committed yet, step by step, some chunks at once.

    Args:
        planned: Chunks that need not be read back, as this attempt has planned them.
        begun: Chunks that are being computed already, by their numbers.

    Raises:
        DrainingError: The process shuts down; the chunks in flight were committed first.
    """
    chunks = await run.queue.chunks(run.claim.lease.execucao_id)
    known = {chunk.number: chunk.products for chunk in planned}
    stage = ModelStage(run, plan, models, chunks, known, begun or {})
    for step in MODEL_STEPS:
        await stage.run_step(step, [chunk for chunk in chunks if chunk.step is step and not chunk.done])


def open_next_step(run: Run, plan: Plan, execution: Execution, sizes: Mapping[Step, int], now: datetime) -> None:
    """Start the first model step that has work and was not touched yet, skipping those that have none."""
    for step in MODEL_STEPS:
        if step in execution.steps:
            continue
        if sizes.get(step, 0) or _fits_only(run, plan, step):
            execution.start_step(step, now, products_total=sizes.get(step, 0))
            return
        execution.skip_step(step, now, plan.notes.get(step, "no product of this execution uses these models"))


def end_model_step(
    run: Run, plan: Plan, models: ModelsOfRun, ending: EndingStep, execution: Execution, now: datetime
) -> None:
    """Log which models a step used, and open the next one."""
    size = ending.sizes.get(ending.step, 0)
    resumo = merge(ending.summaries) if size else {"models": {}, "fallbacks": {}}
    details: dict[str, Any] = {"products": size}
    details |= {name: resumo[name] for name in ("models", "fallbacks") if resumo[name]}
    if not size or ending.step in (Step.EXECUTE_TFT, LAST_MODEL_STEP):
        details |= {} if plan.models is None else {"trained_models": about_models(plan, models)}
        details |= {} if models.lost is None else {"lost": models.lost}
    execution.complete_step(ending.step, now, details=details)
    open_next_step(run, plan, execution, ending.sizes, now)


async def compute_products(run: Run, plan: Plan, products: tuple[PlannedProduct, ...], models: Models) -> ChunkResult:
    """Read the sales of a chunk's products and compute them in a model process."""
    sales = await run.kept.read_last([product.product_id for product in products], end=plan.as_of)
    request = ChunkRequest(
        # A train has measured every candidate already: like a backtest it measures what was chosen.
        task="predict" if run.task == "predict" else "backtest",
        products=products,
        sales=sales,
        as_of=plan.as_of,
        horizon=plan.horizon,
        seed=plan.seed,
    )
    reach("in_chunk")
    files = used_by(products, models)
    if not files:
        return await run.compute.run(compute_chunk, request)
    return await run.compute.run(compute_with_models, ChunkWork(request, files))


def _fits_only(run: Run, plan: Plan, step: Step) -> bool:
    """A train fits its last models in the step of these models, also if no product of its own will use them."""
    if run.task != "train" or plan.models is None:
        return False
    return step is LAST_MODEL_STEP or (step is Step.EXECUTE_TFT and plan.models.tft)


@dataclass(frozen=True, slots=True)
class EndingStep:
    """A model step whose products are all computed: their summaries, and the products of every model step."""

    step: Step
    sizes: Mapping[Step, int]
    summaries: Sequence[dict[str, Any]]


class ModelStage:
    """The model steps of one attempt: chunks through the processes, and when a step begins and ends."""

    def __init__(
        self,
        run: Run,
        plan: Plan,
        models: ModelsOfRun,
        chunks: Sequence[ChunkProgress],
        known: dict[int, tuple[PlannedProduct, ...]],
        begun: Begun,
    ) -> None:
        self._run = run
        self._plan = plan
        self._models = models
        self._known = known
        self._begun = begun
        self._files: Models | None = None
        self._sizes: Counter[Step] = Counter()
        for chunk in chunks:
            self._sizes[chunk.step] += chunk.size
        self._started = self._reported = run.clock.monotonic()
        self._computed = 0

    async def run_step(self, step: Step, chunks: Sequence[ChunkProgress]) -> None:
        """Compute chunks of one step side by side; steps follow each other, so that their log reads in order."""
        await self._have_models(step, chunks)
        await side_by_side(self._run, chunks, self._work_on)
        if not self._sizes[step] and _fits_only(self._run, self._plan, step):
            await self._close_fitting(step)

    async def _have_models(self, step: Step, chunks: Sequence[ChunkProgress]) -> None:
        """Open the trained models with the first chunk, fit the last ones where the first product may need them."""
        if chunks and self._files is None:
            self._files = await self._models.opening()
        planned = self._plan.models
        needed = chunks and planned is not None and planned.first_step is not None and step >= planned.first_step
        if needed or _fits_only(self._run, self._plan, step):
            self._files = await self._models.closing(step)

    async def _work_on(self, chunk: ChunkProgress) -> None:
        await self._commit(chunk, await self._compute(chunk))

    async def _compute(self, chunk: ChunkProgress) -> ChunkResult:
        if chunk.number in self._begun:
            return await self._begun[chunk.number]
        products = self._known.pop(chunk.number, None)
        if products is None:
            products = await self._run.queue.chunk_products(self._run.claim.lease.execucao_id, chunk.number)
        return await compute_products(self._run, self._plan, products, self._files or ())

    async def _commit(self, chunk: ChunkProgress, result: ChunkResult) -> None:
        queue, lease = self._run.queue, self._run.claim.lease
        written = await queue.write_down(lease.execucao_id, self._plan.horizon, result.forecasts)
        async with queue.fenced(lease) as work:
            rows = await work.replace_results(written)
            unstorable = await work.replace_metrics(result.metrics)
            await work.save_chunk(chunk.number, {**result.summary, "rows": rows, "unstorable_metrics": unstorable})
            await self._advance(work, chunk)
            reach("before_chunk_commit")
        reach("after_chunk_commit")
        self._computed += chunk.size

    async def _advance(self, work: FencedWork, chunk: ChunkProgress) -> None:
        """Count the chunk; end its step with the last one and open the next, else tell subscribers now and then."""
        execution, now = work.execution, self._run.clock.now()
        execution.start_step(chunk.step, now, products_total=self._sizes[chunk.step])
        execution.count_products(chunk.step, chunk.size)
        # Decided by the counter under the row's lock, not by ours: the lanes' commits interleave.
        if execution.steps[chunk.step].records == self._sizes[chunk.step]:
            self._end_step(execution, chunk.step, await work.summaries(chunk.step), now)
        elif self._run.clock.monotonic() - self._reported >= PROGRESS_SECONDS:
            self._reported = self._run.clock.monotonic()
            execution.report(chunk.step, now, self._eta_seconds(execution, chunk.size))

    def _end_step(self, execution: Execution, step: Step, summaries: Sequence[dict[str, Any]], now: datetime) -> None:
        ending = EndingStep(step, self._sizes, summaries)
        end_model_step(self._run, self._plan, self._models, ending, execution, now)

    async def _close_fitting(self, step: Step) -> None:
        """End a step in which the last models were fitted and no product was computed."""
        async with self._run.queue.fenced(self._run.claim.lease) as work:
            state, now = work.execution.steps.get(step), self._run.clock.now()
            if state is None or state.status is StepStatus.RUNNING:
                self._end_step(work.execution, step, (), now)

    def _eta_seconds(self, execution: Execution, just_done: int) -> float:
        """Seconds left at the rate of this attempt."""
        elapsed = self._run.clock.monotonic() - self._started
        left = execution.products_total - execution.products_processed
        return round(elapsed / (self._computed + just_done) * left, 1)
