"""The worker: claims commands while it has room, one task an execution, and keeps their leases alive."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from consumer.errors import TransientError
from consumer.failpoints import reach
from consumer.ports.queue import LeaseState

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from consumer.execution.runner import Runner
    from consumer.model import Lease
    from consumer.ports.queue import Claim, CommandQueue

TOGETHER_SECONDS = 0.005  # executions that end within this time make room for one claim: fewer transactions
STOP_PATIENCE_SECONDS = 5.0  # for a cancelled task to unwind; a connection to a frozen server may never answer


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """Seconds, but for ``executions``: how many run at once."""

    executions: int = 2
    poll_seconds: float = 0.5
    lease_seconds: float = 30.0


@dataclass(slots=True)
class Running:
    """An execution that runs in this process."""

    claim: Claim
    interruption: asyncio.Future[LeaseState]
    task: asyncio.Task[None] = field(init=False)


class Worker:
    """Owns the tasks of the executions that it runs."""

    def __init__(self, queue: CommandQueue, runner: Runner, options: WorkerOptions, log: FilteringBoundLogger) -> None:
        self._queue = queue
        self._runner = runner
        self._options = options
        self._log = log
        self._running: dict[Lease, Running] = {}
        self._draining = asyncio.Event()
        self._wake = asyncio.Event()

    @property
    def running(self) -> int:
        """How many executions run now."""
        return len(self._running)

    def wake(self) -> None:
        """Look for commands now: somebody in this process has just queued some."""
        self._wake.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Claim and run until told to stop; then let the running chunks end and hand everything back."""
        try:
            while not stopping.is_set():
                if not await self.run_once():
                    await self._wait_for_work(stopping)
        finally:
            await self._drain()

    async def run_once(self) -> int:
        """Claim as many commands as there is room for; how many came."""
        self._wake.clear()  # also without room: the next execution that ends wakes us again
        room = self._options.executions - len(self._running)
        if room <= 0:
            return 0
        try:
            claims = await self._queue.claim(room)
        except TransientError as error:
            self._log.warning("claim_failed", error=str(error))
            return 0
        if claims:
            reach("after_claim")
            self._log.info("executions_claimed", execucao_ids=[claim.lease.execucao_id for claim in claims])
        for claim in claims:
            self._start(claim)
        return len(claims)

    async def heartbeat(self) -> None:
        """Prolong the leases of everything that runs; interrupt what is lost, cancelled or past its deadline."""
        leases = list(self._running)
        if not leases:
            return
        try:
            async with asyncio.timeout(self._options.lease_seconds / 3):
                states = await self._queue.extend(leases)
        except (TransientError, TimeoutError) as error:
            self._log.warning("heartbeat_failed", leases=len(leases), error=str(error) or "timed out")
            return
        for lease, state in states.items():
            running = self._running.get(lease)
            if state is not LeaseState.HELD and running is not None and not running.interruption.done():
                running.interruption.set_result(state)

    async def keep_leases(self) -> None:
        """Heartbeat for ever; cancelled by its owner after the last execution has ended."""
        while True:
            await asyncio.sleep(min(1.0, self._options.lease_seconds / 3))
            await self.heartbeat()

    def _start(self, claim: Claim) -> None:
        running = Running(claim, asyncio.get_running_loop().create_future())
        running.task = asyncio.create_task(
            self._runner.run(claim, running.interruption, self._draining),
            name=f"execution {claim.lease.execucao_id}",
        )
        self._running[claim.lease] = running
        running.task.add_done_callback(lambda task: self._ended(claim.lease, task))

    def _ended(self, lease: Lease, task: asyncio.Task[None]) -> None:
        self._running.pop(lease, None)
        self._wake.set()
        if not task.cancelled() and task.exception() is not None:
            self._log.error("execution_task_failed", execucao_id=lease.execucao_id, exc_info=task.exception())

    async def _wait_for_work(self, stopping: asyncio.Event) -> None:
        waits = [asyncio.create_task(self._wake.wait()), asyncio.create_task(stopping.wait())]
        try:
            await asyncio.wait(waits, timeout=self._options.poll_seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if self._running and not stopping.is_set():
            await asyncio.sleep(TOGETHER_SECONDS)

    async def _drain(self) -> None:
        """Between chunks every execution hands itself back; our caller cancels us when the grace is over."""
        self._draining.set()
        reach("in_drain")
        tasks = [running.task for running in self._running.values()]
        try:
            if tasks:
                await asyncio.wait(tasks)
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=STOP_PATIENCE_SECONDS)
