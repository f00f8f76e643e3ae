"""The worker and relay with a job that does nothing but log steps, a hundred events a transaction."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import consumer.worker_role
from benchmarks.services.noop import NoCompute, NoSales
from consumer.bootstrap import run_service
from consumer.clock import SystemClock
from consumer.settings import Settings
from consumer.steps import Step
from consumer.telemetry.logs import configure
from schemas.enums import StatusExecucao

if TYPE_CHECKING:
    from datetime import datetime

    from consumer.model import Execution
    from consumer.ports import Claim, CommandQueue

TRANSACTIONS = 10
PASSES = 10  # over all steps in one transaction
EVENTS = TRANSACTIONS * PASSES * len(Step)  # of one execution; of a step that begins and ends at once the end is told


def log_steps(execution: Execution, now: datetime) -> None:
    """What one transaction logs."""
    for _ in range(PASSES):
        for step in Step:
            execution.start_step(step, now)
            execution.complete_step(step, now, records=200, details={"products": 200})


class LoggingJob:
    """``consumer.execution.runner.Job``."""

    def __init__(self, queue: CommandQueue, *_: object) -> None:
        self._queue = queue
        self._clock = SystemClock()

    async def run(self, claim: Claim, _draining: asyncio.Event) -> None:
        """Log every step again and again, then end."""
        async with self._queue.fenced(claim.lease) as work:
            work.execution.begin(self._clock.now())
        for _ in range(TRANSACTIONS):
            async with self._queue.fenced(claim.lease) as work:
                log_steps(work.execution, self._clock.now())
        async with self._queue.fenced(claim.lease) as work:
            work.execution.finish(StatusExecucao.CONCLUIDO, self._clock.now(), resumo={})


if __name__ == "__main__":
    consumer.worker_role.SqlSalesReader = NoSales  # type: ignore[misc,assignment]
    consumer.worker_role.ProcessCompute = NoCompute  # type: ignore[misc,assignment]
    consumer.worker_role.ForecastJob = LoggingJob  # type: ignore[misc,assignment]
    configure("json", "info")
    sys.exit(asyncio.run(run_service(Settings())))
