"""Steps 3 to 6: chunks of products through the model processes, each committed whole.

A chunk's results, its summary, its step's counters and the events are one transaction: a crash loses at most the
chunks that were being computed, and a resumed execution computes nothing again that was committed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final

from consumer.execution.run import DrainingError
from consumer.failpoints import reach
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
    """Compute what is not committed yet, step by step, as many chunks at once as there are model processes.

    Raises:
        DrainingError: The process shuts down; the chunks in flight were committed first.
    """
    chunks = await run.queue.chunks(run.claim.lease.execucao_id)
    stage = ModelStage(run, plan, chunks)
    for step in MODEL_STEPS:
        await stage.run_step([chunk for chunk in chunks if chunk.step is step and not chunk.done])


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
    """The model steps of one attempt: chunks through the processes, and when a step begins and ends."""

    def __init__(self, run: Run, plan: Plan, chunks: Sequence[ChunkProgress]) -> None:
        self._run = run
        self._plan = plan
        self._sizes: Counter[Step] = Counter()
        for chunk in chunks:
            self._sizes[chunk.step] += chunk.size
        self._started = self._reported = run.clock.monotonic()
        self._computed = 0

    async def run_step(self, chunks: Sequence[ChunkProgress]) -> None:
        """Compute chunks of one step side by side; steps follow each other, so that their log reads in order."""
        todo = iter(chunks)
        try:
            async with asyncio.TaskGroup() as lanes:
                for _ in range(min(self._run.options.parallel_chunks, len(chunks))):
                    lanes.create_task(self._work_through(todo))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from group  # the first failure ended the others; it decides what follows
        if next(todo, None) is not None:
            raise DrainingError

    async def _work_through(self, todo: Iterator[ChunkProgress]) -> None:
        """Take chunks until there are none left or the process shuts down."""
        while not self._run.draining.is_set():
            chunk = next(todo, None)
            if chunk is None:
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
        reach("in_chunk")
        return await run.compute.run(compute_chunk, request)

    async def _commit(self, chunk: ChunkProgress, result: ChunkResult) -> None:
        async with self._run.queue.fenced(self._run.claim.lease) as work:
            rows = await work.replace_results(self._plan.horizon, result.forecasts)
            unstorable = await work.replace_metrics(result.metrics)
            await work.save_chunk(chunk.number, {**result.summary, "rows": rows, "unstorable_metrics": unstorable})
            self._advance(work.execution, chunk)
            reach("before_chunk_commit")
        reach("after_chunk_commit")
        self._computed += chunk.size

    def _advance(self, execution: Execution, chunk: ChunkProgress) -> None:
        """Count the chunk; end its step with the last one and open the next, else tell subscribers now and then."""
        now = self._run.clock.now()
        execution.start_step(chunk.step, now, products_total=self._sizes[chunk.step])
        execution.count_products(chunk.step, chunk.size)
        # Decided by the counter under the row's lock, not by ours: the lanes' commits interleave.
        if execution.steps[chunk.step].records == self._sizes[chunk.step]:
            execution.complete_step(chunk.step, now, details={"products": self._sizes[chunk.step]})
            open_next_step(execution, self._sizes, self._plan.notes, now)
        elif self._run.clock.monotonic() - self._reported >= PROGRESS_SECONDS:
            self._reported = self._run.clock.monotonic()
            execution.report(chunk.step, now, self._eta_seconds(execution, chunk.size))

    def _eta_seconds(self, execution: Execution, just_done: int) -> float:
        """Seconds left at the rate of this attempt."""
        elapsed = self._run.clock.monotonic() - self._started
        left = execution.products_total - execution.products_processed
        return round(elapsed / (self._computed + just_done) * left, 1)
