"""Steps 3 to 6: chunks of products through the model processes, each committed whole.

A chunk's results, its summary, its step's counters and the events are one transaction: a crash loses at most the
chunks that were being computed, and a resumed execution computes nothing again that was committed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final

from consumer.forecasting.compute import compute_chunk
from consumer.forecasting.types import ChunkRequest, ChunkResult
from consumer.steps import MODEL_STEPS, Step

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from consumer.execution.run import Plan, Run
    from consumer.model import Execution
    from consumer.ports import ChunkProgress

PROGRESS_SECONDS: Final = 1.0  # progress inside a step is sent at most this often


async def compute_chunks(run: Run, plan: Plan) -> None:
    """Compute what is not committed yet, as many chunks at once as there are model processes.

    Raises:
        DrainingError: The process shuts down; the chunks in flight were committed first.
    """
    chunks = await run.queue.chunks(run.claim.lease.execucao_id)
    stage = ModelStage(run, plan, chunks)
    todo = iter([chunk for chunk in chunks if not chunk.done])
    try:
        async with asyncio.TaskGroup() as lanes:
            for _ in range(run.options.parallel_chunks):
                lanes.create_task(stage.work_through(todo))
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from group  # the first failure ended the others; it decides what follows
    if stage.unfinished:
        run.leave_if_draining()


def open_next_step(execution: Execution, sizes: Mapping[Step, int], notes: Mapping[Step, str], now: datetime) -> None:
    """Start the first model step that has products and was not touched yet, skipping those that have none."""
    for step in MODEL_STEPS:
        if step in execution.steps:
            continue
        if sizes.get(step, 0):
            execution.start_step(step, now, products_total=sizes[step])
            return
        execution.skip_step(step, now, notes.get(step, "no product of this execution uses these models"))


class ModelStage:
    """The model steps of one attempt: which chunks are left, and when a step begins and ends."""

    def __init__(self, run: Run, plan: Plan, chunks: Sequence[ChunkProgress]) -> None:
        self._run = run
        self._plan = plan
        self._sizes: Counter[Step] = Counter()
        self._left: Counter[Step] = Counter()
        for chunk in chunks:
            self._sizes[chunk.step] += chunk.size
            self._left[chunk.step] += not chunk.done
        self._started = self._reported = run.clock.monotonic()
        self._computed = 0

    @property
    def unfinished(self) -> int:
        """Chunks that are not committed."""
        return self._left.total()

    async def work_through(self, todo: Iterator[ChunkProgress]) -> None:
        """Take chunks until there are none left or the process shuts down."""
        for chunk in todo:
            if self._run.draining.is_set():
                return
            await self._commit(chunk, await self._compute(chunk))

    async def _compute(self, chunk: ChunkProgress) -> ChunkResult:
        run, plan = self._run, self._plan
        products = await run.queue.chunk_products(run.claim.lease.execucao_id, chunk.number)
        sales = await run.sales.weekly_sales([product.product_id for product in products], end=plan.as_of)
        request = ChunkRequest(
            task=run.task,
            products=products,
            sales=sales,
            as_of=plan.as_of,
            horizon=plan.horizon,
            seed=plan.seed,
        )
        return await run.compute.run(compute_chunk, request)

    async def _commit(self, chunk: ChunkProgress, result: ChunkResult) -> None:
        async with self._run.queue.fenced(self._run.claim.lease) as work:
            rows = await work.replace_results(self._plan.horizon, result.forecasts)
            unstorable = await work.replace_metrics(result.metrics)
            await work.save_chunk(chunk.number, {**result.summary, "rows": rows, "unstorable_metrics": unstorable})
            self._advance(work.execution, chunk)
        self._left[chunk.step] -= 1
        self._computed += chunk.size

    def _advance(self, execution: Execution, chunk: ChunkProgress) -> None:
        """Count the chunk; end its step with the last one and open the next, else tell subscribers now and then."""
        now = self._run.clock.now()
        execution.start_step(chunk.step, now, products_total=self._sizes[chunk.step])
        execution.count_products(chunk.step, chunk.size)
        if self._left[chunk.step] == 1:
            execution.complete_step(chunk.step, now, details={"products": self._sizes[chunk.step]})
            open_next_step(execution, self._sizes, self._plan.notes, now)
        elif self._run.clock.monotonic() - self._reported >= PROGRESS_SECONDS:
            self._reported = self._run.clock.monotonic()
            execution.report(chunk.step, now, self._eta_seconds(chunk.size))

    def _eta_seconds(self, just_done: int) -> float:
        """Seconds left at the rate of this attempt."""
        elapsed = self._run.clock.monotonic() - self._started
        done = self._computed + just_done
        left = sum(self._sizes.values()) - done
        return round(elapsed / done * left, 1)
