"""Ending aiokafka's clients for good, also when their broker does not answer."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from structlog.typing import FilteringBoundLogger

PART_SECONDS: Final = 0.5


async def close_client(client: Any, seconds: float, log: FilteringBoundLogger) -> None:
    """Stop a consumer or producer within ``seconds``, or else end its parts one by one, two seconds more at most.

    aiokafka's ``stop`` waits for the broker (to flush, to leave the group), and where it is interrupted the parts
    behind that run on: they would try to connect, and to send what was given up, as long as the process lives.
    """
    try:
        async with asyncio.timeout(seconds):
            await client.stop()
    except (KafkaError, TimeoutError, OSError) as error:
        log.warning("client_stop_failed", client=type(client).__name__, error=type(error).__name__)
        for close in _parts(client):
            with suppress(KafkaError, TimeoutError, OSError):
                async with asyncio.timeout(PART_SECONDS):
                    await close()


def _parts(client: Any) -> Iterator[Callable[[], Awaitable[object]]]:
    """What runs in the background, in the order in which ``stop`` would end it."""
    if isinstance(client, AIOKafkaProducer):
        yield client._sender.close  # noqa: SLF001  aiokafka has no public way, here and below
        client._message_accumulator.fail_all(KafkaError("given up"))  # noqa: SLF001
        yield client.client.close
        return
    coordinator = client._coordinator  # noqa: SLF001
    if coordinator is not None and client._group_id is not None:  # noqa: SLF001
        yield coordinator._stop_heartbeat_task  # noqa: SLF001
        yield coordinator._stop_commit_offsets_refresh_task  # noqa: SLF001
    if client._fetcher is not None:  # noqa: SLF001
        yield client._fetcher.close  # noqa: SLF001
    yield client._client.close  # noqa: SLF001
