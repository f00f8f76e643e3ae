"""What happens to the broker, to the way there, and to the group."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from tests.chaos.faults import network
from tests.chaos.faults.processes import UP_SECONDS, terminate
from tests.chaos.rig import pause
from tests.e2e.new_topics import PARTITIONS

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from tests.chaos.fleet import Member
    from tests.chaos.rig import Rig

EXTRA_MEMBERS = PARTITIONS + 1
STORM_SECONDS = 8.0


async def kafka_restart(rig: Rig, _: random.Random, __: Sequence[Member]) -> None:
    async with rig.servers.kafka_trouble():
        await asyncio.to_thread(rig.servers.kafka.restart)


async def kafka_kill(rig: Rig, randomness: random.Random, _: Sequence[Member]) -> None:
    async with rig.servers.kafka_trouble():
        await asyncio.to_thread(rig.servers.kafka.kill)
        await pause(randomness, 0, 1.5)
        await asyncio.to_thread(rig.servers.kafka.start)


async def kafka_freeze(rig: Rig, randomness: random.Random, _: Sequence[Member]) -> None:
    async with rig.servers.kafka_trouble():
        rig.servers.kafka.pause()
        try:
            await pause(randomness, 2, 7)
        finally:
            rig.servers.kafka.resume()


async def kafka_reset(rig: Rig, randomness: random.Random, _: Sequence[Member]) -> None:
    async with rig.servers.kafka_trouble():
        await network.resets(rig.servers.kafka_proxy, randomness)


async def kafka_blackhole(rig: Rig, randomness: random.Random, _: Sequence[Member]) -> None:
    async with rig.servers.kafka_trouble():
        await network.cut(rig.servers.kafka_proxy, "blackhole", randomness)


async def kafka_one_way(rig: Rig, randomness: random.Random, _: Sequence[Member]) -> None:
    async with rig.servers.kafka_trouble():
        await network.cut(rig.servers.kafka_proxy, "one_way", randomness)


async def kafka_half_response(rig: Rig, randomness: random.Random, _: Sequence[Member]) -> None:
    async with rig.servers.kafka_trouble():
        await network.halve(rig.servers.kafka_proxy, randomness)


async def kafka_slow(rig: Rig, randomness: random.Random, _: Sequence[Member]) -> None:
    async with rig.servers.kafka_trouble():
        await network.slow(rig.servers.kafka_proxy, randomness)


async def rebalance_storm(rig: Rig, randomness: random.Random, _: Sequence[Member]) -> None:
    """Members come and go every two seconds, in the end more than a topic has partitions."""
    deadline = time.monotonic() + STORM_SECONDS
    async with asyncio.TaskGroup() as members:
        for number in range(EXTRA_MEMBERS):
            members.create_task(_come_and_go(rig, deadline, stays=2.0 if number < 2 else randomness.uniform(2, 6)))


async def offsets_reset(rig: Rig, randomness: random.Random, members: Sequence[Member]) -> None:
    """Everything is delivered again, from offset 0."""
    del members
    intakes = rig.fleet.with_role("intake")
    async with contextlib.AsyncExitStack() as held:
        for member in intakes:
            await held.enter_async_context(member.lock)
        await held.enter_async_context(rig.servers.kafka_lock)  # it must stay well
        for member in intakes:
            member.held_down = True
        try:
            await asyncio.gather(*(_leave(rig, member, by_force=randomness.random() < 0.5) for member in intakes))
            await _commit_zero(rig)
        finally:
            for member in intakes:
                member.held_down = False
        for member in intakes:
            await member.up(UP_SECONDS)


async def _leave(rig: Rig, member: Member, *, by_force: bool) -> None:
    if by_force:
        await member.kill()
    else:
        await terminate(rig, member, "offsets reset", stay_down=True)


async def _commit_zero(rig: Rig, within: float = 45.0) -> None:
    """Possible once the group has no member any more; a killed one is missed after its session's timeout."""
    places = [TopicPartition(name, number) for name in rig.topics.all[:4] for number in range(PARTITIONS)]
    deadline = time.monotonic() + within
    while True:
        try:
            async with asyncio.timeout(10), _consumer(rig) as consumer:
                consumer.assign(places)
                await consumer.commit(dict.fromkeys(places, 0))
        except (KafkaError, TimeoutError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.5)
        else:
            return


async def _come_and_go(rig: Rig, deadline: float, stays: float) -> None:
    while time.monotonic() < deadline:
        consumer = _consumer(rig)
        consumer.subscribe(topics=list(rig.topics.all[:4]))
        with contextlib.suppress(KafkaError, TimeoutError, OSError):
            try:
                async with asyncio.timeout(stays + 5):
                    await consumer.start()
                    await consumer.getmany(timeout_ms=int(stays * 1000), max_records=1)
            finally:
                async with asyncio.timeout(5):
                    await consumer.stop()


def _consumer(rig: Rig) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        bootstrap_servers=rig.topics.bootstrap_servers,
        group_id=rig.topics.settings["group_id"],
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=6000,
        heartbeat_interval_ms=600,
        request_timeout_ms=8000,
    )
