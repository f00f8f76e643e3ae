"""Topics that clients name for replies: missing, new or without a leader, they must be nobody else's trouble."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from consumer.errors import RecordRefusedError

if TYPE_CHECKING:
    from consumer.kafka.missing import MissingTopics

REPLY_METADATA_SECONDS: Final = 3.0  # a NestJS client may name a reply topic that does not exist, or not yet
LOOK_SECONDS: Final = 0.2
_NOBODY: Final = (None, -1)


class ReplyTopics:
    """What the cluster says of reply topics.

    Args:
        producer: Of aiokafka.
        missing: Topics and partitions that were not there lately; the more there are, the less is waited for another.
    """

    def __init__(self, producer: Any, missing: MissingTopics) -> None:
        self._producer = producer
        self._missing = missing

    async def look_at(self, topic: str) -> frozenset[int]:
        """See that a topic is there; wait a moment for a new one.

        Returns:
            Partitions that nobody leads: what is sent there would hold up the events of everybody behind it.

        Raises:
            RecordRefusedError: The broker says that there is no such topic.
            TimeoutError: The broker says nothing.
        """
        if self._producer.client.cluster.partitions_for_topic(topic) is None:
            await self._find(topic)
        leaderless = self._leaderless(topic)
        if any(_place(topic, partition) not in self._missing for partition in leaderless):
            await self._await_leaders(topic)
            leaderless = self._leaderless(topic)
            for partition in leaderless:
                self._missing.add(_place(topic, partition))
        return leaderless

    async def broker_answers(self) -> bool:
        """Whether a broker says anything at all; while none does, no topic is to blame."""
        try:
            async with asyncio.timeout(REPLY_METADATA_SECONDS):
                return bool(await self._producer.client.force_metadata_update())
        except (KafkaError, TimeoutError):
            return False

    async def _await_leaders(self, topic: str) -> None:
        """Wait a moment for an election; only what the broker says now counts, not what it said last."""
        answered = False
        try:
            async with asyncio.timeout(self._patience):
                while self._leaderless(topic):
                    answered = await self._producer.client.force_metadata_update()
                    if self._leaderless(topic):
                        await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            if not answered:
                raise

    @property
    def _patience(self) -> float:
        return REPLY_METADATA_SECONDS / (1 + len(self._missing))

    def _leaderless(self, topic: str) -> frozenset[int]:
        cluster = self._producer.client.cluster
        partitions = cluster.partitions_for_topic(topic) or ()
        return frozenset(
            one for one in partitions if cluster.leader_for_partition(TopicPartition(topic, one)) in _NOBODY
        )

    async def _find(self, topic: str) -> None:
        if topic in self._missing:
            raise RecordRefusedError(f"reply topic {topic!r} was not there a moment ago")
        answered = False
        try:
            async with asyncio.timeout(self._patience):
                # All topics, because aiokafka would go on asking for ever for one that it was asked for by name.
                while topic not in (await self._producer.client.fetch_all_metadata()).topics():
                    answered = True
                    await asyncio.sleep(LOOK_SECONDS)
                answered = False
                await self._producer.partitions_for(topic)
        except (KafkaError, TimeoutError) as error:
            if not answered:
                raise TimeoutError from error
            self._missing.add(topic)
            raise RecordRefusedError(f"reply topic {topic!r} is not there") from error


def _place(topic: str, partition: int) -> str:
    return f"{topic}/{partition}"
