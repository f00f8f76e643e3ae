"""Model processes: CPU work away from the event loop, killed together with the task that waits for it."""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import os
import resource
import signal
import sys
import threading
from concurrent.futures import BrokenExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self, TypeVar

from pebble import CONSTS, ProcessExpired, ProcessPool

from consumer.errors import TransientError
from consumer.forecasting.compute import THREAD_VARIABLES, warm_up

if TYPE_CHECKING:
    from collections.abc import Callable

Request = TypeVar("Request")
Result = TypeVar("Result")

STOP_SECONDS: Final = 2.0
PIPE_LOCK_SECONDS = 10.0  # a request or result needs milliseconds; the lock of a process that died lasts for ever
WATCH_SECONDS: Final = 1.0  # a call ends within two of these when its pool has broken; pebble has no signal for it
QUEUED_CHUNKS: Final = 10  # a call waits for no more than so many others
_PR_SET_PDEATHSIG: Final = 1


class ProcessCompute:
    """``consumer.ports.compute.Compute`` on a pool of spawned processes. Use ``async with``.

    Spawned, not forked: a fork would copy the event loop's threads and sockets in an unknown state.
    """

    def __init__(self, processes: int, timeout_seconds: float, memory_megabytes: int | None = None) -> None:
        self._processes = processes
        self._memory_megabytes = memory_megabytes
        self._timeout_seconds = timeout_seconds
        self._pool: ProcessPool | None = None

    async def __aenter__(self) -> Self:
        self._pool = self._new_pool()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._pool is not None:
            await _close(self._pool)

    async def run(
        self, function: Callable[[Request], Result], request: Request, timeout_seconds: float | None = None
    ) -> Result:
        """Run ``function(request)`` in a process; both and the result must be picklable.

        Raises:
            TransientError: The process died, or was killed because it took longer than the timeout.
        """
        allowed = timeout_seconds or self._timeout_seconds
        try:
            pool = await self._working_pool()
            future = pool.submit(function, allowed, request)  # which starts processes, and may fail at that
            # The pool bounds what runs; this bounds the waiting for a place in it.
            async with asyncio.timeout(QUEUED_CHUNKS * max(allowed, self._timeout_seconds)):
                return await _while_active(pool, asyncio.wrap_future(future))
        except ProcessExpired as error:
            raise TransientError(f"a model process died with exit code {error.exitcode}") from error
        except BrokenExecutor as error:
            raise TransientError("the model processes died and are started anew") from error
        except FutureTimeoutError as error:
            message = f"a chunk or fit took longer than {allowed:g} s and was killed"
            raise TransientError(message) from error

    async def warm_up(self) -> None:
        """Start every process and import the models before the first command needs them."""
        await asyncio.gather(*(self.run(_nothing, None) for _ in range(self._processes)))

    def _new_pool(self) -> ProcessPool:
        # Before warm_up can set a limit, numpy is loaded: what a process inherits must say how many threads.
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
        return ProcessPool(
            max_workers=self._processes,
            initializer=_start_process,
            initargs=() if self._memory_megabytes is None else (self._memory_megabytes,),
            context=multiprocessing.get_context("spawn"),
        )

    async def _working_pool(self) -> ProcessPool:
        """The pool, or a new one: pebble gives a pool up for good when a process dies that had nothing to do."""
        if self._pool is None:
            raise RuntimeError("the process pool is not open: use `async with ProcessCompute(…)`")
        if not self._pool.active:
            broken, self._pool = self._pool, self._new_pool()
            await _close(broken)
        return self._pool


async def _while_active(pool: ProcessPool, answer: asyncio.Future[Result]) -> Result:
    """Wait for the answer; a pool that breaks gives none to requests that it had not begun to write to its pipe."""
    active = True
    try:
        while not (await asyncio.wait((answer,), timeout=WATCH_SECONDS))[0]:
            if not active:
                raise BrokenExecutor
            active = pool.active  # when it no longer is, an answer may still be on its way from pebble's thread
        return answer.result()
    finally:
        answer.cancel()  # if it is not there yet: wrap_future hands it on, and pebble kills the process


async def _close(pool: ProcessPool) -> None:
    """Kill the processes; should pebble hang over it, go on without: they die with us."""
    loop, joined = asyncio.get_running_loop(), asyncio.Event()

    def join() -> None:
        pool.join()  # its own timeout counts for pools only that have work left
        with suppress(RuntimeError):  # the loop of a process that did not wait for us
            loop.call_soon_threadsafe(joined.set)

    pool.stop()  # type: ignore[no-untyped-call]  # pebble leaves this one method untyped
    # No thread of the default executor: asyncio.run would wait for it without a bound.
    threading.Thread(target=join, name="model processes end", daemon=True).start()
    with suppress(TimeoutError):
        async with asyncio.timeout(STOP_SECONDS):
            await joined.wait()


def _start_process(memory_megabytes: int | None = None) -> None:
    # pebble's own handler is Python, which waits for the end of a model's compiled code: 3 s a process until SIGKILL.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # The pipes are shared: with the lock of one that died, all others end after this time, and a new pool is made.
    CONSTS.channel_lock_timeout = PIPE_LOCK_SECONDS
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides what it means
    _die_with_parent()
    if memory_megabytes is not None:
        limit = memory_megabytes * 1024 * 1024
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    warm_up()


def _die_with_parent() -> None:
    """A parent that was killed cannot stop its children; Linux does it for us."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        os._exit(1)  # it was killed before we could ask


def _nothing(_: None) -> None:
    return None
