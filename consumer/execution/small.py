"""A small execution is one transaction: planned and computed first, then everything that it leaves is written at once.

There is no stored plan to resume from, as there is little to compute again. What takes longer than a moment is stored,
told and resumed like any other execution.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from consumer.execution.chunks import EndingStep, compute_chunks, compute_products, end_model_step
from consumer.execution.closing import Computed, close, conclude
from consumer.execution.prepare import sizes_of, store_plan, tell_plan
from consumer.failpoints import reach
from consumer.ports.fenced import ResultRows
from consumer.steps import MODEL_STEPS, Step

if TYPE_CHECKING:
    from datetime import datetime

    from consumer.execution.models import ModelsOfRun
    from consumer.execution.prepare import Prepared
    from consumer.execution.run import Run
    from consumer.execution.tasks import Models
    from consumer.forecasting.types import ChunkResult, PlannedChunk
    from consumer.model import Execution
    from consumer.ports.fenced import FencedWork


def is_small(run: Run, prepared: Prepared) -> bool:
    """Whether its products would fit one chunk and no model is fitted between them."""
    models = prepared.plan.models
    fits = 0 < len(prepared.products) <= run.options.chunk_products
    return fits and (models is None or models.workspace is None)


async def run_small(run: Run, prepared: Prepared, models: ModelsOfRun) -> None:
    """Compute and write it; if the computing takes longer than ``patience_seconds``, go on chunk by chunk.

    Raises:
        PermanentError: No product could be forecast.
        DrainingError: It took longer, and the process shuts down.
    """
    small = SmallExecution(run, prepared, models)
    try:
        if await small.computed():
            await small.write_down()
            await run.queue.write(run.claim.lease, small.write)
            reach("after_chunk_commit")
            reach("after_terminal_commit")
            return
        await store_plan(run, prepared)
        await compute_chunks(run, prepared.plan, models, begun=small.computing)
        await close(run, prepared.plan, models)
    finally:
        await small.stop()


class SmallExecution:
    """Its chunks while they are computed, and what they leave."""

    def __init__(self, run: Run, prepared: Prepared, models: ModelsOfRun) -> None:
        self._run = run
        self._prepared = prepared
        self._models = models
        self._lanes = asyncio.Semaphore(run.options.parallel_chunks)
        self._ended_at: dict[Step, datetime] = {}
        self._rows = ResultRows()
        self._opening = asyncio.create_task(models.opening())
        self.computing = {chunk.number: asyncio.create_task(self._compute(chunk)) for chunk in prepared.chunks}

    async def computed(self) -> bool:
        """Whether all of it is computed before patience ends; the first failure is raised at once."""
        tasks = self.computing.values()
        done, pending = await asyncio.wait(
            tasks, timeout=self._run.options.patience_seconds, return_when=asyncio.FIRST_EXCEPTION
        )
        for task in done:
            task.result()
        return not pending

    async def write_down(self) -> None:
        """Make the results ready for ``write``, which others wait for."""
        forecasts = [one for task in self.computing.values() for one in task.result().forecasts]
        lease = self._run.claim.lease
        self._rows = await self._run.queue.write_down(lease.execucao_id, self._prepared.plan.horizon, forecasts)

    async def write(self, work: FencedWork) -> None:
        """Steps 1 to 10, results and the terminal state; may be called again if that transaction is rolled back."""
        plan = self._prepared.plan
        results = [task.result() for task in self.computing.values()]
        rows = await work.replace_results(self._rows)
        unstorable = await work.replace_metrics([one for result in results for one in result.metrics])
        tell_plan(self._run, work.execution, self._prepared)
        self._end_model_steps(work.execution)
        reach("before_chunk_commit")
        computed = Computed([result.summary for result in results], rows, unstorable, "written with the terminal state")
        await conclude(self._run, plan, self._models, computed, work)
        reach("before_terminal_commit")

    async def stop(self) -> None:
        """End what is still computed."""
        tasks: list[asyncio.Task[Models] | asyncio.Task[ChunkResult]] = [self._opening, *self.computing.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _compute(self, chunk: PlannedChunk) -> ChunkResult:
        models = await asyncio.shield(self._opening)
        async with self._lanes:
            result = await compute_products(self._run, self._prepared.plan, chunk.products, models)
        self._ended_at[Step(chunk.step_order)] = self._run.clock.now()
        return result

    def _end_model_steps(self, execution: Execution) -> None:
        sizes = sizes_of(self._prepared.chunks)
        ended = self._prepared.planned_at
        for step in MODEL_STEPS:
            if step not in sizes:
                continue
            ended = max(ended, self._ended_at[step])  # steps follow each other, so that their log reads in order
            summaries = [
                self.computing[chunk.number].result().summary
                for chunk in self._prepared.chunks
                if chunk.step_order == step
            ]
            execution.count_products(step, sizes[step])
            ending = EndingStep(step, sizes, summaries)
            end_model_step(self._run, self._prepared.plan, self._models, ending, execution, ended)
