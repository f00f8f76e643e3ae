"""One job with everything around it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consumer.artefacts.store import FileArtefacts
from consumer.clock import SystemClock
from consumer.execution.job import ForecastJob
from consumer.execution.run import JobOptions
from consumer.forecasting.types import ChunkRequest
from schemas.events import ExecutionStatusChanged, StepLogged
from tests.builders import claim, uuid
from tests.fakes import FakeQueue, FakeSales, InlineCompute, ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from consumer.ports.queue import Claim

WEEKS = 30  # below the minimum of long histories: cheap models
STEADY = {f"p{number}": [10.0 + number + week % 4 for week in range(WEEKS)] for number in range(6)}
NOWHERE = Path("artefacts-that-nobody-writes")


class Bench:
    """One job; keywords that it does not name are ``JobOptions``."""

    def __init__(
        self,
        sales: FakeSales | None = None,
        *,
        before: Callable[[Any], None] | None = None,
        clock: ManualClock | None = None,
        parallel: int = 1,
        artefacts: Path = NOWHERE,
        **options: Any,
    ) -> None:
        self.queue = FakeQueue()
        self.sales = sales or FakeSales(STEADY)
        self.compute = InlineCompute(before)
        self.draining = asyncio.Event()
        chosen = JobOptions(**{"chunk_products": 2, "parallel_chunks": parallel, "seed": 7, **options})
        store = FileArtefacts(artefacts, SystemClock())
        self.job = ForecastJob(self.queue, self.sales, self.compute, store, clock or ManualClock(step=0.01), chosen)

    async def run(self, taken: Claim | None = None) -> None:
        await self.job.run(taken or self.queue.add(claim()), self.draining)

    @property
    def stored(self) -> Any:
        return self.queue.stored[uuid(1)]

    @property
    def statuses(self) -> list[ExecutionStatusChanged]:
        return [event for event in self.queue.events if isinstance(event, ExecutionStatusChanged)]

    @property
    def steps(self) -> list[tuple[int, str]]:
        """Order and status of each step event."""
        events = [event for event in self.queue.events if isinstance(event, StepLogged)]
        return [(event.step_order, event.status.value) for event in events]

    @property
    def outcome(self) -> dict[int, str]:
        """The last status of each step."""
        return dict(self.steps)

    @property
    def chunks(self) -> list[ChunkRequest]:
        return [request for request in self.compute.requests if isinstance(request, ChunkRequest)]
