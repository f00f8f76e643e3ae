"""The seven topics: which are there, and creating those that are not."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAlreadyExistsError, for_code

from consumer.errors import TransientError
from consumer.kafka.connection import connection_arguments, no_answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from consumer.settings import Settings

ADMIN_SECONDS: Final = 10.0
CANCELLED_SECONDS: Final = 1.0  # for a connection that is being made when nobody wants it any more
LISTING_SECONDS: Final = 0.05
DEAD_LETTER_BYTES: Final = 16 * 1024 * 1024  # a dead letter is the record plus headers: its topic must take more

_MILLISECONDS_A_DAY: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """One topic as it should be."""

    name: str
    partitions: int
    config: dict[str, str]


def planned_topics(settings: Settings, partitions: int) -> tuple[TopicPlan, ...]:
    """All topics of the contract; rejections and dead letters are rare, one order serves them."""
    names = (*settings.command_topics.values(), settings.topic_status, settings.topic_step_log)
    ordinary = tuple(TopicPlan(name, partitions, {}) for name in names)
    return (
        *ordinary,
        TopicPlan(settings.topic_dlq, partitions, {"max.message.bytes": str(DEAD_LETTER_BYTES)}),
    )


async def existing_topics(settings: Settings) -> set[str]:
    """Names of all topics of the cluster.

    Raises:
        TransientError: No broker answers.
    """
    async with _admin(settings) as admin:
        return set(await admin.list_topics())


async def create_topics(settings: Settings, partitions: int, replication: int) -> list[str]:
    """Create what is not there, and return when every topic is listed; the names of what was created.

    Raises:
        TransientError: No broker answers, or it refuses.
    """
    async with _admin(settings) as admin:
        there = set(await admin.list_topics())
        missing = [plan for plan in planned_topics(settings, partitions) if plan.name not in there]
        created = [plan.name for plan in missing if await _create(admin, plan, replication)]
        # A broker acknowledges a topic a moment before it lists it.
        while not {plan.name for plan in missing} <= set(await admin.list_topics()):  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(LISTING_SECONDS)
        return created


async def retention_days(settings: Settings) -> dict[str, float]:
    """How long each command topic keeps its records; a topic that keeps them for ever is left out.

    Raises:
        TransientError: No broker answers, or it does not tell.
    """
    names = list(settings.command_topics.values())
    async with _admin(settings) as admin:
        resources = [ConfigResource(ConfigResourceType.TOPIC, name, {"retention.ms": None}) for name in names]
        answers = await admin.describe_configs(resources)
    milliseconds: dict[str, int] = {}
    for code, _, _, topic, values in (entry for answer in answers for entry in answer.resources):
        if code:
            raise TransientError(f"the broker does not tell the retention of {topic}: {for_code(code).__name__}")
        milliseconds.update((topic, int(entry[1])) for entry in values if entry[1] is not None)
    return {topic: value / _MILLISECONDS_A_DAY for topic, value in milliseconds.items() if value >= 0}


async def _create(admin: Any, plan: TopicPlan, replication: int) -> bool:
    """False when somebody else created it meanwhile."""
    topic = NewTopic(plan.name, plan.partitions, replication, topic_configs=plan.config)
    try:
        answer = await admin.create_topics([topic])
    except AttributeError as error:  # aiokafka's way to say so, in a cluster that has just started
        raise TransientError("the cluster has no controller yet; try again in a moment") from error
    for name, code, *message in answer.topic_errors:
        answered = for_code(code)
        if answered is TopicAlreadyExistsError:
            return False
        if code:
            raise TransientError(f"topic {name} was not created: {answered.__name__} {message or ''}")
    return True


@asynccontextmanager
async def _admin(settings: Settings) -> AsyncIterator[Any]:
    admin = AIOKafkaAdminClient(**connection_arguments(settings))
    try:
        async with asyncio.timeout(ADMIN_SECONDS):
            await _start(admin)
            yield admin
    except (KafkaConnectionError, TimeoutError, OSError) as error:
        raise TransientError(no_answer(settings, error)) from error
    except KafkaError as error:
        message = f"the broker at {settings.bootstrap_servers} refuses: {type(error).__name__}: {error}"
        raise TransientError(message) from error
    finally:
        await admin.close()


async def _start(admin: Any) -> None:
    """Connect; where nobody wants it any more, end in order: a start that is cancelled leaves its connection open."""
    starting = asyncio.create_task(admin.start())
    try:
        await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.wait({starting}, timeout=CANCELLED_SECONDS)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        raise
