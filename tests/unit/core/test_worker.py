from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from consumer.errors import TransientError
from consumer.execution.worker import Worker, WorkerOptions
from consumer.ports.queue import LeaseState
from tests.builders import claim
from tests.fakes import CapturedLog, FakeQueue

if TYPE_CHECKING:
    import pytest

    from consumer.ports.queue import Claim


class ScriptedRunner:
    """Executions that run until the test lets them end, are interrupted, or are told to drain."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.started: list[Claim] = []
        self.any_started = asyncio.Event()
        self.starts: asyncio.Queue[Claim] = asyncio.Queue()
        self.finish = asyncio.Event()
        self.ended: list[str] = []
        self.interrupted: list[LeaseState] = []
        self._stubborn = stubborn

    async def run(self, taken: Claim, interruption: asyncio.Future[LeaseState], draining: asyncio.Event) -> None:
        self.started.append(taken)
        self.any_started.set()
        self.starts.put_nowait(taken)
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(self.finish.wait()), interruption]
        if not self._stubborn:
            waits.append(asyncio.ensure_future(draining.wait()))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        self.ended.append("drained" if draining.is_set() else "ended")
        if interruption.done():
            self.interrupted.append(interruption.result())


class Bench:
    def __init__(self, claims: int, *, executions: int = 2, stubborn: bool = False) -> None:
        self.queue, self.runner, self.log = FakeQueue(), ScriptedRunner(stubborn=stubborn), CapturedLog()
        self.queue.waiting = [claim(number=number) for number in range(claims)]
        options = WorkerOptions(executions=executions, poll_seconds=60.0, lease_seconds=0.03)
        self.worker = Worker(self.queue, self.runner, options, self.log.log)  # type: ignore[arg-type]  # a stand-in


async def turns(count: int = 20) -> None:
    """Let every task that is ready run."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_worker_claims_as_much_as_it_has_room_for() -> None:
    """No more executions run at once than allowed; a place that gets free is used."""
    bench = Bench(5)
    assert await bench.worker.run_once() == 2
    assert await bench.worker.run_once() == 0
    await turns()
    assert (bench.worker.running, len(bench.runner.started), bench.queue.claims_asked) == (2, 2, [2])
    bench.runner.finish.set()
    await turns()
    assert bench.worker.running == 0
    assert await bench.worker.run_once() == 2


async def test_one_line_of_the_log_names_all_that_a_claim_brought() -> None:
    """However many executions come with a claim, they are one line; a claim that brings none is no news."""
    bench = Bench(2)
    await bench.worker.run_once()
    await bench.worker.run_once()
    ids = [claim(number=number).lease.execucao_id for number in range(2)]
    assert bench.log.entries == [{"event": "executions_claimed", "log_level": "info", "execucao_ids": ids}]


async def test_end_of_an_execution_wakes_the_worker() -> None:
    """A full worker claims the next command as soon as one ends, not at its next poll."""
    bench, stopping = Bench(2, executions=1), asyncio.Event()
    task = asyncio.create_task(bench.worker.run(stopping))
    await bench.runner.any_started.wait()
    bench.runner.finish.set()
    async with asyncio.timeout(5):
        for _ in range(2):
            await bench.runner.starts.get()
    stopping.set()
    async with asyncio.timeout(5):
        await task


async def test_executions_that_end_close_together_make_room_for_one_claim() -> None:
    """A worker waits a moment after an end: what ends meanwhile is claimed for in the same transaction."""
    bench, stopping = Bench(4), asyncio.Event()
    task = asyncio.create_task(bench.worker.run(stopping))
    await turns()
    first, second = list(bench.worker._running.values())
    first.interruption.set_result(LeaseState.CANCELLED)
    await turns(3)
    second.interruption.set_result(LeaseState.CANCELLED)
    async with asyncio.timeout(5):
        for _ in range(4):
            await bench.runner.starts.get()
    assert bench.queue.claims_asked == [2, 2]
    stopping.set()
    async with asyncio.timeout(5):
        await task


async def test_waking_an_idle_worker_makes_it_claim() -> None:
    """A worker that found nothing looks again when it is woken."""
    bench, stopping = Bench(0), asyncio.Event()
    task = asyncio.create_task(bench.worker.run(stopping))
    await turns()
    bench.queue.waiting.append(claim())
    bench.worker.wake()
    async with asyncio.timeout(5):
        await bench.runner.any_started.wait()
    stopping.set()
    async with asyncio.timeout(5):
        await task


async def test_waking_a_full_worker_does_not_make_it_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wake-up that a full worker cannot use is used up: it waits for room and does not burn the processor."""
    bench, stopping = Bench(1, executions=1), asyncio.Event()
    looks: list[int] = []
    once = bench.worker.run_once

    async def counted() -> int:
        looks.append(1)
        return await once()

    monkeypatch.setattr(bench.worker, "run_once", counted)
    task = asyncio.create_task(bench.worker.run(stopping))
    await bench.runner.any_started.wait()
    bench.worker.wake()
    await turns(200)
    assert len(looks) <= 4
    stopping.set()
    async with asyncio.timeout(5):
        await task


async def test_failing_claim_is_logged_and_tried_again() -> None:
    """A database that is away costs the worker one look."""
    bench = Bench(1)
    bench.queue.fail_with = TransientError("gone")
    assert await bench.worker.run_once() == 0
    assert bench.log.names == ["claim_failed"]
    bench.queue.fail_with = None
    assert await bench.worker.run_once() == 1


async def test_heartbeat_interrupts_what_is_no_longer_ours() -> None:
    """Each execution hears what became of its own lease, once; those that are held go on."""
    bench = Bench(4, executions=4)
    await bench.worker.run_once()
    await turns()
    states = (LeaseState.LOST, LeaseState.CANCELLED, LeaseState.EXPIRED)
    bench.queue.states = dict(zip([one.lease for one in bench.runner.started], states, strict=False))
    await bench.worker.heartbeat()
    await bench.worker.heartbeat()
    await turns()
    assert sorted(state.name for state in bench.runner.interrupted) == ["CANCELLED", "EXPIRED", "LOST"]
    assert bench.worker.running == 1


async def test_failing_heartbeat_interrupts_nobody() -> None:
    """A heartbeat that does not reach the database, or hangs, says nothing about the leases."""
    bench = Bench(1)
    await bench.worker.run_once()
    bench.queue.fail_with = TransientError("gone")
    await bench.worker.heartbeat()

    async def hang(_: object) -> dict[object, object]:
        await asyncio.Event().wait()
        return {}

    bench.queue.extend = hang  # type: ignore[assignment, method-assign]  # one hanging method in one test
    async with asyncio.timeout(5):
        await bench.worker.heartbeat()
    await turns()
    assert (bench.worker.running, bench.log.names) == (1, ["executions_claimed", *["heartbeat_failed"] * 2])
    assert bench.log.entries[2]["error"] == "timed out"


async def test_idle_worker_sends_no_heartbeat() -> None:
    """Without an execution the database is not asked."""
    bench = Bench(0)
    bench.queue.fail_with = TransientError("would be logged")
    await bench.worker.heartbeat()
    assert bench.log.names == []


async def test_stopping_worker_drains() -> None:
    """On a stop nothing new is claimed, running executions are told to drain, and the worker ends after them."""
    bench, stopping = Bench(3, executions=2), asyncio.Event()
    task = asyncio.create_task(bench.worker.run(stopping))
    await bench.runner.any_started.wait()
    stopping.set()
    async with asyncio.timeout(5):
        await task
    assert (bench.runner.ended, bench.worker.running, len(bench.queue.waiting)) == (["drained"] * 2, 0, 1)


async def test_cancelled_worker_cancels_its_executions() -> None:
    """When the grace is over executions that do not drain are cancelled, and the worker waits for their unwinding."""
    bench, stopping = Bench(1, stubborn=True), asyncio.Event()
    task = asyncio.create_task(bench.worker.run(stopping))
    await bench.runner.any_started.wait()
    stopping.set()
    await turns()
    task.cancel()
    async with asyncio.timeout(5):
        await asyncio.wait({task})
    assert (bench.runner.ended, bench.worker.running) == (["cancelled"], 0)


async def test_runner_that_raises_is_logged_and_frees_its_place() -> None:
    """A defect of the runner is told with the execution's id and costs no place."""
    bench = Bench(1)

    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    bench.runner.run = broken  # type: ignore[method-assign, assignment]  # one failing method in one test
    await bench.worker.run_once()
    await turns()
    assert (bench.worker.running, bench.log.names) == (0, ["executions_claimed", "execution_task_failed"])
