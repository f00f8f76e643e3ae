from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from consumer.kafka import topics
from consumer.kafka.closing import close_consumer
from consumer.telemetry.logs import get_logger


class Consumer:
    """One whose ``stop`` waits for a task that it has cancelled, as aiokafka's does for a fetch that is retried."""

    def __init__(self) -> None:
        self._coordinator = self._group_id = self._fetcher = None
        self._client = SimpleNamespace(close=self._closing)
        self.closed = 0

    async def stop(self) -> None:
        retry = asyncio.create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        retry.cancel()
        await retry

    async def _closing(self) -> None:
        self.closed += 1


class Waiting(Consumer):
    async def stop(self) -> None:
        await asyncio.sleep(60)


async def test_a_cancellation_of_the_clients_own_does_not_end_the_service() -> None:
    """A fetch that the client gave up is no reason to stop closing, or to end the role that closes."""
    consumer = Consumer()
    await close_consumer(consumer, 5, get_logger("test"))
    assert consumer.closed


async def test_a_cancellation_of_ours_goes_on() -> None:
    """Whoever cancels the closing task sees it end."""
    closing = asyncio.create_task(close_consumer(Waiting(), 30, get_logger("test")))
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(closing, 5)


async def test_a_start_that_is_cancelled_connects_first() -> None:
    """aiokafka forgets a connection whose making was interrupted, so it is made, and closed with its client."""
    connecting, go, connected = asyncio.Event(), asyncio.Event(), []

    async def start() -> None:
        connecting.set()
        await go.wait()
        connected.append(True)

    starting = asyncio.create_task(topics._start(SimpleNamespace(start=start)))
    await connecting.wait()
    starting.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(starting, 5)
    assert connected
