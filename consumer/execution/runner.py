"""The fate of one execution: its job's end, or what follows from each way to fail."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from structlog.contextvars import bound_contextvars

from consumer.errors import LeaseLostError, PermanentError, TransientError
from consumer.execution.run import DrainingError
from consumer.ports.queue import LeaseState
from schemas.enums import ErrorCode, StatusExecucao

if TYPE_CHECKING:
    import random
    from collections.abc import Coroutine
    from typing import Any, Protocol

    from structlog.typing import FilteringBoundLogger

    from consumer.clock import Clock
    from consumer.model import Lease
    from consumer.ports.queue import Claim, CommandQueue

    class Job(Protocol):
        """What an execution does between its claim and its end."""

        async def run(self, claim: Claim, draining: asyncio.Event) -> None:
            """Do all steps and write the terminal state."""
            ...


UNWIND_SECONDS = 5.0  # for a cancelled job to let go of its connection
CLEARING_SECONDS = 1.0  # for deleting what an execution that has ended leaves behind
HASTE_SECONDS = 1.0  # for handing a lease back at the very end of a shutdown

_INTERRUPTED = {
    LeaseState.CANCELLED: (ErrorCode.CANCELLED, "cancelled while it ran"),
    LeaseState.EXPIRED: (ErrorCode.EXPIRED, "the deadline ce_expirytime passed while it ran"),
}


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with full jitter (Brooker, "Exponential Backoff And Jitter", 2015). Seconds."""

    max_attempts: int = 5
    first: float = 2.0
    longest: float = 300.0

    def delay(self, attempt: int, randomness: random.Random) -> float:
        """Pause after the given failed attempt (1 is the first): between half and all of the doubled pause."""
        ceiling = min(self.longest, self.first * 2 ** (attempt - 1))
        return randomness.uniform(ceiling / 2, ceiling)


class Runner:
    """Runs claims; never raises but for its own cancellation."""

    def __init__(
        self,
        queue: CommandQueue,
        job: Job,
        retry: RetryPolicy,
        clock: Clock,
        randomness: random.Random,
        log: FilteringBoundLogger,
    ) -> None:
        self._queue = queue
        self._job = job
        self._retry = retry
        self._clock = clock
        self._randomness = randomness
        self._log = log

    async def run(self, claim: Claim, interruption: asyncio.Future[LeaseState], draining: asyncio.Event) -> None:
        """Run one execution to its end, or to the point where somebody else must go on."""
        with bound_contextvars(execucao_id=claim.lease.execucao_id, comando=claim.comando, **claim.origin):
            try:
                await self._attempt(claim, interruption, draining)
            except LeaseLostError:
                self._log.warning("lease_lost", epoch=claim.lease.epoch)
            except asyncio.CancelledError:
                await self._hand_back_in_haste(claim.lease)
                raise
            except TransientError as error:
                # The database would not take our word either: the lease runs out and another worker goes on.
                self._log.warning("execution_abandoned", error=str(error))
            except Exception:  # noqa: BLE001 - a row that cannot be written must not spin through the queue
                self._log.exception("execution_cannot_be_ended")
                await self._set_aside(claim.lease)

    async def _attempt(self, claim: Claim, interruption: asyncio.Future[LeaseState], draining: asyncio.Event) -> None:
        try:
            self._refuse_late(claim)
            await self._until_interrupted(self._job.run(claim, draining), interruption)
            self._log.info("execution_finished", attempt=claim.attempt, epoch=claim.lease.epoch)
        except LeaseLostError:
            raise
        except PermanentError as error:
            await self._end_in_error(claim.lease, error)
        except DrainingError:
            self._log.info("execution_handed_back")
            await self._queue.hand_back(claim.lease)
        except TransientError as error:
            await self._retry_or_give_up(claim, error)
        except Exception as error:  # noqa: BLE001 - a bug in one job costs that execution an attempt, not the worker
            self._log.exception("execution_attempt_crashed")
            await self._retry_or_give_up(claim, error)

    def _refuse_late(self, claim: Claim) -> None:
        if claim.expired:
            raise PermanentError(ErrorCode.EXPIRED, "the deadline ce_expirytime passed before the execution began")
        if claim.attempt > self._retry.max_attempts:
            message = f"given up after {self._retry.max_attempts} attempts, each ended by a crash of its process"
            raise PermanentError(ErrorCode.ATTEMPTS_EXHAUSTED, message)

    async def _until_interrupted(
        self, job: Coroutine[Any, Any, None], interruption: asyncio.Future[LeaseState]
    ) -> None:
        task = asyncio.create_task(job)
        try:
            await asyncio.wait((task, interruption), return_when=asyncio.FIRST_COMPLETED)
            if not task.done() and interruption.result() is LeaseState.LOST:
                # This is also how the heartbeat sees an execution that has just ended and is clearing up.
                await asyncio.wait({task}, timeout=CLEARING_SECONDS)
            if task.done():
                return task.result()
            reason = interruption.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=UNWIND_SECONDS)
        if reason is LeaseState.LOST:
            raise LeaseLostError
        raise PermanentError(*_INTERRUPTED[reason])

    async def _retry_or_give_up(self, claim: Claim, error: Exception) -> None:
        text = str(error).partition("\n")[0]  # what follows in a database's message quotes rows
        message = f"{type(error).__name__}: {text}" if text else type(error).__name__
        if claim.attempt >= self._retry.max_attempts:
            exhausted = f"given up after {claim.attempt} attempts, the last failed with {message}"
            await self._end_in_error(claim.lease, PermanentError(ErrorCode.ATTEMPTS_EXHAUSTED, exhausted))
            return
        delay = self._retry.delay(claim.attempt, self._randomness)
        self._log.warning("execution_retries", attempt=claim.attempt, delay_seconds=round(delay, 1), error=message)
        await self._queue.retry_later(claim.lease, delay)

    async def _hand_back_in_haste(self, lease: Lease) -> None:
        """The grace of a shutdown is over: what cannot be handed back now waits for the end of its lease."""
        try:
            async with asyncio.timeout(HASTE_SECONDS):
                await self._queue.hand_back(lease)
            self._log.info("execution_handed_back")
        except Exception as error:  # noqa: BLE001 - whatever it was, the lease runs out and another worker goes on
            self._log.warning("lease_left_to_expire", error=str(error) or type(error).__name__)

    async def _set_aside(self, lease: Lease) -> None:
        try:
            await self._queue.retry_later(lease, self._retry.longest)
        except Exception as error:  # noqa: BLE001 - likewise
            self._log.warning("execution_abandoned", error=str(error) or type(error).__name__)

    async def _end_in_error(self, lease: Lease, error: PermanentError) -> None:
        self._log.warning("execution_failed", code=error.code.value, error=error.message)
        async with self._queue.fenced(lease) as work:
            work.execution.finish(StatusExecucao.ERRO, self._clock.now(), error=(error.code, error.message))
