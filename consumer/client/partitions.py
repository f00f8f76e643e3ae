"""Which partitions a topic has, asked before anything is read or sent: a missing topic is said at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from consumer.client.errors import ClientError
from consumer.kafka.connection import connection_arguments, no_answer

if TYPE_CHECKING:
    from collections.abc import Collection

    from consumer.settings import Settings

CONNECT_SECONDS: Final = 10.0
# A broker that makes topics by first use names their partitions a moment later.
_ROUNDS: Final = 8
_PAUSE_SECONDS: Final = 0.25

Partitions = dict[str, tuple[int, ...]]


async def partitions_of(settings: Settings, topics: Collection[str]) -> Partitions:
    """The numbers of each topic's partitions.

    Raises:
        ClientError: No broker answers, or a topic is not there.
    """
    if not topics:
        return {}  # to a broker, no names means all topics
    admin = AIOKafkaAdminClient(**connection_arguments(settings))
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await admin.start()
            return await _ask(admin, topics, settings.bootstrap_servers)
    except (KafkaError, TimeoutError, OSError) as error:
        raise no_broker(settings, error) from error
    finally:
        await admin.close()


def no_broker(settings: Settings, error: BaseException) -> ClientError:
    """Say that the cluster cannot be reached, where it was looked for, and what to check."""
    return ClientError(no_answer(settings, error))


async def _ask(admin: Any, topics: Collection[str], servers: str) -> Partitions:
    for _ in range(_ROUNDS):
        found: Partitions = {}
        for topic in await admin.describe_topics(list(topics)):
            numbers = sorted(partition["partition"] for partition in topic["partitions"])
            if numbers and not topic["error_code"]:
                found[topic["topic"]] = tuple(numbers)
        missing = [topic for topic in topics if topic not in found]
        if not missing:
            return found
        await asyncio.sleep(_PAUSE_SECONDS)
    raise ClientError(f"Kafka at {servers} has no topic {', '.join(missing)}; run `forecast-consumer topics create`")
