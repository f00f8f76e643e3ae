"""The ten steps of train, predict and backtest, in their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consumer.errors import TransientError
from consumer.execution.chunks import compute_chunks
from consumer.execution.closing import close
from consumer.execution.kept_sales import KeptSales
from consumer.execution.models import open_models
from consumer.execution.prepare import prepare, store_plan
from consumer.execution.run import JobOptions, Plan, Run
from consumer.execution.small import is_small, run_small
from consumer.forecasting.global_model.base import UnusableArtefactError
from consumer.verified_files import UnusableFileError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from consumer.clock import Clock
    from consumer.forecasting.types import PlannedChunk
    from consumer.ports.artefacts import ArtefactStore
    from consumer.ports.compute import Compute
    from consumer.ports.queue import Claim, CommandQueue
    from consumer.ports.sales import SalesReader


class ForecastJob:
    """Prepare (steps 1-2), compute chunk by chunk (3-6), close (7-10); resumes where an earlier attempt ended.

    A small execution does all that and is then written at once.
    """

    def __init__(
        self,
        queue: CommandQueue,
        sales: SalesReader,
        compute: Compute,
        artefacts: ArtefactStore,
        clock: Clock,
        options: JobOptions,
    ) -> None:
        self._queue = queue
        self._sales = sales
        self._compute = compute
        self._artefacts = artefacts
        self._clock = clock
        self._options = options

    async def run(self, claim: Claim, draining: asyncio.Event) -> None:
        """Do what is left to do.

        Raises:
            PermanentError: No attempt can succeed.
            TransientError: Another attempt may.
            LeaseLostError: Another process has the execution.
            DrainingError: The process shuts down; the checkpoint is good.
        """
        run = self._run_of(claim, draining)
        if not claim.begun:
            async with run.queue.fenced(claim.lease) as work:
                work.execution.set_out(run.clock.now(), planned=claim.plan is not None)
        try:
            await self._go_on(run)
        except (UnusableFileError, UnusableArtefactError) as error:
            await run.artefacts.clear(claim.lease.execucao_id)
            raise TransientError(f"a model or checkpoint cannot be used and is made anew: {error}") from error
        if run.task != "predict":  # which keeps no checkpoints
            await run.artefacts.clear(claim.lease.execucao_id)

    def _run_of(self, claim: Claim, draining: asyncio.Event) -> Run:
        return Run(
            claim,
            self._queue,
            self._sales,
            self._compute,
            self._artefacts,
            self._clock,
            self._options,
            draining,
            KeptSales(self._sales),
        )

    async def _go_on(self, run: Run) -> None:
        planned: Sequence[PlannedChunk] = ()
        if run.claim.plan is not None:
            plan = Plan.from_json(run.claim.plan)
            models = open_models(run, plan)
        else:
            prepared = await prepare(run)
            plan = prepared.plan
            models = open_models(run, plan, prepared.learning)
            if is_small(run, prepared):
                await run_small(run, prepared, models)
                return
            await store_plan(run, prepared)
            planned = prepared.chunks
        await compute_chunks(run, plan, models, planned)
        await close(run, plan, models)
