from __future__ import annotations

import asyncio

from benchmarks.services.noop import NoCompute, NoSales
from consumer.artefacts.store import FileArtefacts
from consumer.clock import SystemClock
from consumer.execution.job import ForecastJob
from consumer.execution.run import JobOptions
from schemas.enums import StatusExecucao
from tests.builders import claim, uuid
from tests.fakes import FakeQueue
from tests.unit.core.job_bench import NOWHERE


async def test_execution_without_sales_and_models_is_concluded() -> None:
    """What the rows ``noop`` and ``scale_out`` measure ends well: its sales and models answer whatever a job asks."""
    queue, clock = FakeQueue(), SystemClock()
    job = ForecastJob(queue, NoSales(), NoCompute(), FileArtefacts(NOWHERE, clock), clock, JobOptions())
    await job.run(queue.add(claim(data={"produto_ids": ["p1"]})), asyncio.Event())
    assert queue.stored[uuid(1)].execution.status is StatusExecucao.CONCLUIDO
