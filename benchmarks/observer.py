"""What a contestant has done, seen from outside: in its group, on its topics, in its tables. The same for everybody."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import GroupCoordinatorNotAvailableError

from tests.support.topics import admin_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from benchmarks.stage import Place

LOOK_SECONDS: Final = 0.02  # how exact the end of a round is known
_DRAINED: Final = """
    SELECT NOT EXISTS (SELECT FROM forecast_consumer.command WHERE state <> 'done')
       AND NOT EXISTS (SELECT FROM forecast_consumer.outbox)"""


@dataclass(frozen=True, slots=True)
class Observer:
    """Connections of the benchmark's own; use ``observe``."""

    place: Place
    admin: Any
    consumer: Any
    database: asyncpg.Connection

    async def assigned(self, members: int = 1, within: float = 60) -> None:
        """Wait until the group is at rest and every member has its partitions."""

        async def at_rest() -> bool:
            try:
                answers = await self.admin.describe_consumer_groups([self.place.group])
            except GroupCoordinatorNotAvailableError:  # the broker makes its topic of offsets with the first group
                return False
            _, _, state, _, _, found, *_ = answers[0].groups[0]
            return state == "Stable" and len(found) == members

        await until(at_rest, f"{members} members with partitions in group {self.place.group}", within)

    async def records(self, topic: str) -> int:
        """How many records a fresh topic has."""
        partitions = [TopicPartition(topic, number) for number in range(self.place.partitions)]
        return sum((await self.consumer.end_offsets(partitions)).values())

    async def committed(self) -> int:
        """How many records the group has committed."""
        offsets = await self.admin.list_consumer_group_offsets(self.place.group)
        return sum(max(0, entry.offset) for entry in offsets.values())

    async def acknowledged(self, commands: int, within: float, *, commits: bool = True) -> None:
        """Wait until every command's PENDENTE is on the status topic and, but for who cannot, committed."""

        async def done() -> bool:
            if await self.records(self.place.topics.status) < commands:
                return False
            return not commits or await self.committed() >= commands

        await until(done, f"{commands} acknowledged commands", within)

    async def drained(self, within: float) -> None:
        """Wait until every command of the table is done and its events are on Kafka."""

        async def done() -> bool:
            return bool(await self.database.fetchval(_DRAINED))

        await until(done, "an empty queue and outbox", within)

    async def rows(self, commands: int) -> None:
        """Refuse a rate whose work is not in the tables."""
        for table in ("forecast_consumer.command", "execucao_planejamento"):
            found = await self.database.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 - the names above
            if found != commands:
                raise RuntimeError(f"{table} holds {found} rows instead of {commands}")

    async def concluded(self, executions: int) -> None:
        """Refuse a rate whose executions did not all end well."""
        query = "SELECT count(*) FROM execucao_planejamento WHERE status = 'CONCLUIDO'"
        found = await self.database.fetchval(query)
        if found != executions:
            raise RuntimeError(f"{found} of {executions} executions are CONCLUIDO")


async def until(
    condition: Callable[[], Awaitable[bool]], what: str, within: float, every: float = LOOK_SECONDS
) -> None:
    """Look again and again.

    Args:
        every: Seconds. A look costs whom it looks at; where seconds are measured a rare one is exact enough.

    Raises:
        TimeoutError: It did not come true.
    """
    deadline = time.monotonic() + within
    while not await condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {what} within {within:g} s")
        await asyncio.sleep(every)


@asynccontextmanager
async def observe(place: Place) -> AsyncIterator[Observer]:
    """An observer of one place."""
    consumer = AIOKafkaConsumer(bootstrap_servers=place.topics.bootstrap_servers)
    database = await asyncpg.connect(place.url, timeout=15)
    try:
        async with admin_client(place.topics.bootstrap_servers) as admin:
            await consumer.start()
            yield Observer(place, admin, consumer, database)
    finally:
        await consumer.stop()
        await database.close(timeout=5)
