from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.errors import LeaseLostError, PermanentError, TransientError
from consumer.execution.run import DrainingError
from consumer.execution.runner import RetryPolicy, Runner
from consumer.ports.queue import LeaseState
from schemas.enums import ErrorCode, StatusExecucao
from tests.builders import NOW, claim, uuid
from tests.fakes import CapturedLog, FakeQueue, FakeWork, ManualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from consumer.model import Lease
    from consumer.ports.queue import Claim


TURNS = 50  # of the loop: whoever cancels at once has cancelled by then


class ScriptedJob:
    """Raises what it is given, or waits to be interrupted."""

    def __init__(self, outcome: Exception | None = None, *, hang: bool = False) -> None:
        self._outcome = outcome
        self._hang = hang
        self.started = asyncio.Event()
        self.unwound = False

    async def run(self, _claim: Claim, _draining: asyncio.Event) -> None:
        self.started.set()
        try:
            if self._hang:
                await asyncio.Event().wait()
        finally:
            self.unwound = True
        if self._outcome is not None:
            raise self._outcome


class UnwritableQueue(FakeQueue):
    """Holds a row that cannot be written, for a reason that nobody foresaw."""

    @asynccontextmanager
    async def fenced(self, lease: Lease) -> AsyncIterator[FakeWork]:
        async with super().fenced(lease) as work:
            yield work
            raise ValueError("unsupported value")


class Bench:
    def __init__(
        self, job: ScriptedJob, *, max_attempts: int = 3, queue: FakeQueue | None = None, **about: Any
    ) -> None:
        self.job, self.queue, self.log = job, queue or FakeQueue(), CapturedLog()
        self.claim = self.queue.add(claim(**about))
        self.runner = Runner(
            self.queue,
            job,
            RetryPolicy(max_attempts, 2.0, 300.0),
            ManualClock(),
            random.Random(1),
            self.log.log,
        )
        self.interruption: asyncio.Future[LeaseState] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        async with asyncio.timeout(10):
            await self.runner.run(self.claim, self.interruption, asyncio.Event())

    def begin(self) -> None:
        self.queue.stored[uuid(1)].execution.begin(NOW)

    @property
    def error(self) -> tuple[StatusExecucao, str, str] | None:
        execution = self.queue.stored[uuid(1)].execution
        return None if execution.error is None else (execution.status, execution.error.code, execution.error.message)


async def test_job_that_ends_by_itself_needs_nothing_more() -> None:
    """A job that wrote its terminal state leaves the runner nothing to do."""
    bench = Bench(ScriptedJob())
    await bench.run()
    assert (bench.queue.retried, bench.queue.handed_back, bench.error) == ([], [], None)


async def test_transient_error_is_tried_again_later() -> None:
    """A failure that may pass gives the command back with a delay, and says why."""
    bench = Bench(ScriptedJob(TransientError("database gone")), attempt=2)
    await bench.run()
    [(lease, delay)] = bench.queue.retried
    assert lease == bench.claim.lease
    assert 2.0 <= delay <= 4.0
    assert bench.error is None
    assert bench.log.entries[-1]["error"] == "TransientError: database gone"


@pytest.mark.parametrize("error", [TransientError("database gone"), ZeroDivisionError("a bug")])
async def test_last_attempt_ends_in_error(error: Exception) -> None:
    """When the last attempt fails the execution ends in ERRO with what failed."""
    bench = Bench(ScriptedJob(error), attempt=3)
    await bench.run()
    assert bench.queue.retried == []
    assert bench.error is not None
    assert bench.error[:2] == (StatusExecucao.ERRO, "attempts-exhausted")
    assert "3 attempts" in bench.error[2]
    assert str(error) in bench.error[2]


async def test_only_the_first_line_of_an_error_is_told() -> None:
    """What stands below it in a database's message are rows and statements, which are nobody else's business."""
    bench = Bench(ScriptedJob(RuntimeError("violates a constraint\nDETAIL: Failing row contains (secret)")), attempt=3)
    await bench.run()
    assert bench.error is not None
    assert bench.error[2].endswith("RuntimeError: violates a constraint")


async def test_bug_costs_an_attempt_not_the_worker() -> None:
    """An exception that nobody foresaw is logged with its traceback and tried again."""
    bench = Bench(ScriptedJob(KeyError("x")))
    await bench.run()
    assert len(bench.queue.retried) == 1
    assert "execution_attempt_crashed" in bench.log.names


async def test_permanent_error_ends_at_once() -> None:
    """A failure that no attempt can mend ends the execution with its code, whatever attempt it was."""
    bench = Bench(ScriptedJob(PermanentError(ErrorCode.NO_DATA, "no sales")))
    await bench.run()
    assert (bench.error, bench.queue.retried) == ((StatusExecucao.ERRO, "no-data", "no sales"), [])


async def test_draining_hands_back() -> None:
    """A job that stopped for a shutdown is handed back, without an attempt lost."""
    bench = Bench(ScriptedJob(DrainingError()))
    await bench.run()
    assert (bench.queue.handed_back, bench.queue.retried) == ([bench.claim.lease], [])


async def test_lost_lease_writes_nothing() -> None:
    """A job whose execution belongs to somebody else is left alone."""
    bench = Bench(ScriptedJob(LeaseLostError("epoch 1")))
    await bench.run()
    assert (bench.queue.handed_back, bench.queue.retried, bench.queue.transactions) == ([], [], 0)
    assert bench.log.names[-1] == "lease_lost"


async def test_deadline_before_the_claim_computes_nothing() -> None:
    """A command whose deadline passed before its claim ends in ERRO expired and its job never starts."""
    bench = Bench(ScriptedJob(), expired=True)
    await bench.run()
    assert not bench.job.started.is_set()
    assert bench.error is not None
    assert bench.error[:2] == (StatusExecucao.ERRO, "expired")


async def test_crash_loop_is_given_up() -> None:
    """A command whose attempts all ended by crashes of their process is not begun again."""
    bench = Bench(ScriptedJob(), attempt=4)
    await bench.run()
    assert not bench.job.started.is_set()
    assert bench.error is not None
    assert bench.error[1] == "attempts-exhausted"


@pytest.mark.parametrize(("state", "code"), [(LeaseState.CANCELLED, "cancelled"), (LeaseState.EXPIRED, "expired")])
async def test_interruption_unwinds_the_job_and_ends_in_error(state: LeaseState, code: str) -> None:
    """A cancelled or late execution has its job ended first, then its terminal state written."""
    bench = Bench(ScriptedJob(hang=True))
    bench.begin()
    running = asyncio.create_task(bench.run())
    await bench.job.started.wait()
    bench.interruption.set_result(state)
    await running
    assert bench.job.unwound
    assert bench.error is not None
    assert bench.error[:2] == (StatusExecucao.ERRO, code)


async def test_cancellation_tells_the_reason_that_was_given() -> None:
    """The status event of a cancelled running execution has the reason of the one who cancelled it."""
    bench = Bench(ScriptedJob(hang=True))
    bench.begin()
    bench.queue.stored[uuid(1)].execution.cancel_reason = "cancelled: typo"
    bench.interruption.set_result(LeaseState.CANCELLED)
    await bench.run()
    assert bench.error == (StatusExecucao.ERRO, "cancelled", "cancelled: typo")


async def test_interruption_by_a_lost_lease_writes_nothing() -> None:
    """When the heartbeat finds the lease lost the job is ended and nothing is written."""
    bench = Bench(ScriptedJob(hang=True))
    running = asyncio.create_task(bench.run())
    await bench.job.started.wait()
    bench.interruption.set_result(LeaseState.LOST)
    await running
    assert bench.job.unwound
    assert (bench.queue.transactions, bench.queue.retried) == (0, [])


async def test_job_that_has_ended_and_clears_up_is_not_cut_short() -> None:
    """A heartbeat that finds nothing to prolong after the terminal commit lets the last deletions happen."""
    cleared, told = asyncio.Event(), asyncio.Event()

    class Clearing(ScriptedJob):
        async def run(self, _claim: Claim, _draining: asyncio.Event) -> None:
            self.started.set()
            await told.wait()
            await asyncio.sleep(0)
            cleared.set()

    bench = Bench(Clearing())
    running = asyncio.create_task(bench.run())
    await bench.job.started.wait()
    bench.interruption.set_result(LeaseState.LOST)
    for _ in range(TURNS):
        await asyncio.sleep(0)
    told.set()
    await running
    assert cleared.is_set()


async def test_job_that_does_not_unwind_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that ignores its cancellation does not keep the execution from its end."""
    monkeypatch.setattr("consumer.execution.runner.UNWIND_SECONDS", 0.01)
    stuck = asyncio.Event()

    class Stubborn(ScriptedJob):
        async def run(self, _claim: Claim, _draining: asyncio.Event) -> None:
            self.started.set()
            while not stuck.is_set():
                try:
                    await stuck.wait()
                except asyncio.CancelledError:
                    continue

    bench = Bench(Stubborn())
    bench.interruption.set_result(LeaseState.CANCELLED)
    await bench.run()
    stuck.set()
    assert bench.error is not None


async def test_end_of_the_grace_hands_back_in_haste() -> None:
    """A runner that is cancelled ends its job, hands the lease back and lets the cancellation pass."""
    bench = Bench(ScriptedJob(hang=True))
    running = asyncio.create_task(bench.run())
    await bench.job.started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert bench.job.unwound
    assert bench.queue.handed_back == [bench.claim.lease]


@pytest.mark.parametrize("error", [TransientError("gone"), KeyError("a bug")])
async def test_end_of_the_grace_with_the_database_gone_is_quiet(error: Exception) -> None:
    """What cannot be handed back at the very end, whatever the reason, waits for the end of its lease."""
    bench = Bench(ScriptedJob(hang=True))
    running = asyncio.create_task(bench.run())
    await bench.job.started.wait()
    bench.queue.fail_with = error
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert bench.log.names[-1] == "lease_left_to_expire"


async def test_database_gone_while_giving_back_is_survived() -> None:
    """If not even the failure can be written, the lease runs out and another worker goes on."""
    bench = Bench(ScriptedJob(TransientError("gone")))
    bench.queue.fail_with = TransientError("gone")
    await bench.run()
    assert bench.log.names[-1] == "execution_abandoned"


@pytest.mark.parametrize("error", [PermanentError(ErrorCode.NO_DATA, "no sales"), KeyError("the last attempt")])
async def test_end_that_cannot_be_written_is_set_aside(error: Exception) -> None:
    """An execution whose end itself fails waits for the longest pause: it must not spin through the queue."""
    bench = Bench(ScriptedJob(error), queue=UnwritableQueue(), attempt=3)
    await bench.run()
    assert bench.queue.retried == [(bench.claim.lease, 300.0)]
    assert bench.error is None
    assert bench.log.names[-1] == "execution_cannot_be_ended"
    assert bench.log.entries[-1]["exc_info"]


@pytest.mark.parametrize("failure", [TransientError("gone"), KeyError("a bug")])
async def test_database_gone_while_setting_aside_is_survived(failure: Exception) -> None:
    """If an execution cannot even be set aside, for whatever reason, its lease runs out; the worker goes on."""

    class DyingQueue(UnwritableQueue):
        async def retry_later(self, lease: Lease, delay_seconds: float) -> None:
            self.fail_with = failure
            await super().retry_later(lease, delay_seconds)

    bench = Bench(ScriptedJob(PermanentError(ErrorCode.NO_DATA, "no sales")), queue=DyingQueue())
    await bench.run()
    assert bench.queue.retried == []
    assert bench.log.names[-2:] == ["execution_cannot_be_ended", "execution_abandoned"]


@given(
    attempt=st.integers(1, 60),
    first=st.floats(0.01, 10),
    longest=st.floats(10, 1000),
    seed=st.integers(0, 100),
)
def test_delay_stays_between_half_and_all_of_the_doubled_pause(
    attempt: int, first: float, longest: float, seed: int
) -> None:
    """The pause doubles with each attempt up to the longest, with jitter over its upper half."""
    ceiling = min(longest, first * 2 ** (attempt - 1))
    delay = RetryPolicy(5, first, longest).delay(attempt, random.Random(seed))
    assert ceiling / 2 <= delay <= ceiling
