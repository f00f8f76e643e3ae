"""A worker that is loaded when the service is at work already."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from consumer.execution.worker import Worker


class LateWorker:
    """What the service runs as its worker, and who queues a command wakes, before there is one.

    numpy and the domain are a sixth of a start's processor time, and no command waits for them: it is durable first.

    Args:
        build: Loads and wires the worker; awaited once, by ``run``.
        at_work: When to begin.
    """

    def __init__(self, build: Callable[[], Awaitable[Worker]], at_work: asyncio.Event) -> None:
        self._build = build
        self._at_work = at_work
        self._built: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()

    def wake(self) -> None:
        """Look for commands now; a worker that is yet to come looks when it comes."""
        if self._built.done():
            self._built.result().wake()

    async def run(self, stopping: asyncio.Event) -> None:
        """Wait, build, and work until told to stop; told before, nothing is built."""
        waits = [asyncio.create_task(event.wait()) for event in (self._at_work, stopping)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if not stopping.is_set():
            self._built.set_result(await self._build())
            await self._built.result().run(stopping)

    async def keep_leases(self) -> None:
        """Heartbeat for ever, once there is something to keep alive."""
        worker = await asyncio.shield(self._built)
        await worker.keep_leases()
