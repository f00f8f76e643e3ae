"""The worker and relay with a job that does nothing but log steps, a hundred events a transaction."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import consumer.worker_role
from benchmarks.services.noop import NoCompute, NoSales
from consumer.bootstrap import run_service
from consumer.cli.loading_code import kept_for_good
from consumer.clock import SystemClock
from consumer.settings import Settings
from consumer.steps import Step
from consumer.telemetry.logs import configure
from schemas.enums import StatusExecucao

if TYPE_CHECKING:
    from consumer.ports.queue import Claim, CommandQueue

TRANSACTIONS = 10
PASSES = 5  # over all steps in one transaction: they all begin, then they all end
EVENTS = TRANSACTIONS * PASSES * len(Step) * 2  # of one execution; its first step begins with the claim


class LoggingJob:
    """``consumer.execution.runner.Job``."""

    def __init__(self, queue: CommandQueue, *_: object) -> None:
        self._queue = queue
        self._clock = SystemClock()

    async def run(self, claim: Claim, _draining: asyncio.Event) -> None:
        """Log every step again and again, then end."""
        if not claim.begun:
            async with self._queue.fenced(claim.lease) as work:
                work.execution.set_out(self._clock.now(), planned=False)
        for _ in range(TRANSACTIONS):
            async with self._queue.fenced(claim.lease) as work:
                for _ in range(PASSES):
                    for step in Step:
                        work.execution.start_step(step, self._clock.now())
                    for step in Step:
                        work.execution.complete_step(step, self._clock.now(), records=200, details={"products": 200})
        async with self._queue.fenced(claim.lease) as work:
            work.execution.finish(StatusExecucao.CONCLUIDO, self._clock.now(), resumo={})


if __name__ == "__main__":
    consumer.worker_role.SqlSalesReader = NoSales  # type: ignore[misc,assignment]
    consumer.worker_role.ProcessCompute = NoCompute  # type: ignore[misc,assignment]
    consumer.worker_role.ForecastJob = LoggingJob  # type: ignore[misc,assignment]
    configure("json", "info")
    with kept_for_good():  # as the command line starts the service
        service = run_service(Settings())
    sys.exit(asyncio.run(service))
