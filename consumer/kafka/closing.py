"""Ending aiokafka's clients for good, also when their broker does not answer."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from aiokafka.errors import KafkaError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from structlog.typing import FilteringBoundLogger

PART_SECONDS: Final = 0.5


async def close_consumer(consumer: Any, seconds: float, log: FilteringBoundLogger) -> None:
    """Leave the group and stop within ``seconds``, or else end the parts one by one, two seconds more at most.

    aiokafka's ``stop`` waits for the broker, and where it is interrupted the parts behind that run on: they would try
    to connect as long as the process lives.
    """
    try:
        async with asyncio.timeout(seconds):
            await _unless_cancelled_within(consumer.stop)
    except (KafkaError, TimeoutError, OSError) as error:
        log.warning("consumer_stop_failed", error=type(error).__name__)
        await _close(_parts(consumer))


async def close_producer(producer: Any) -> None:
    """End it without sending what it still has: that is in doubt, and whoever keeps it sends it again.

    aiokafka's ``stop`` would wait for every acknowledgement, and an interrupted one goes on sending behind our back.
    """
    producer._closed = True  # noqa: SLF001  aiokafka has no public way, here and below
    close_client = producer.client.close
    await _close((producer._sender.close, close_client, close_client))  # noqa: SLF001


async def _close(parts: Iterable[Callable[[], Awaitable[object]]]) -> None:
    for close in parts:
        with suppress(KafkaError, TimeoutError, OSError):
            async with asyncio.timeout(PART_SECONDS):
                await _unless_cancelled_within(close)


async def _unless_cancelled_within(close: Callable[[], Awaitable[object]]) -> None:
    """Close, where aiokafka cancels tasks of its own and awaits them: that must not look as if we were cancelled.

    Raises:
        KafkaError: A task that it waited for was cancelled.
    """
    try:
        await close()
    except asyncio.CancelledError as error:
        ours = asyncio.current_task()
        if ours is None or ours.cancelling():
            raise
        raise KafkaError("cancelled within the client") from error


def _parts(consumer: Any) -> Iterator[Callable[[], Awaitable[object]]]:
    """What runs in the background, in the order in which ``stop`` would end it."""
    coordinator = consumer._coordinator  # noqa: SLF001
    if coordinator is not None and consumer._group_id is not None:  # noqa: SLF001
        yield coordinator._stop_heartbeat_task  # noqa: SLF001
        yield coordinator._stop_commit_offsets_refresh_task  # noqa: SLF001
    if consumer._fetcher is not None:  # noqa: SLF001
        yield consumer._fetcher.close  # noqa: SLF001
    yield consumer._client.close  # noqa: SLF001
    yield consumer._client.close  # noqa: SLF001  its task may miss one cancellation while it connects
