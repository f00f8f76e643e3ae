"""What a run left behind: the tables, the topics, the committed offsets, and what the driver knows it sent."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import asyncpg
from aiokafka.errors import CoordinatorNotAvailableError, GroupCoordinatorNotAvailableError

from tests.support.topics import admin_client

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from tests.support.journal import Journal
    from tests.support.topics import Topics

COORDINATOR_SECONDS: Final = 30.0


class Position(NamedTuple):
    """Where a record stands; the timestamp tells a recreated topic from the old one."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int

    @property
    def rejection_id(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}/{self.timestamp_ms}:rejected"


@dataclass(frozen=True, slots=True)
class Sent:
    """A record that the broker acknowledged to the driver, and what the service should make of it."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    kind: str
    good: bool
    source: str
    event_id: str

    @property
    def position(self) -> Position:
        return Position(self.topic, self.partition, self.offset, self.timestamp_ms)

    @property
    def identity(self) -> tuple[str, str]:
        return self.source, self.event_id


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that the invariants are decided on.

    Attributes:
        commands: Rows of ``forecast_consumer.command`` by identity.
        executions: ``execucao_planejamento.status`` by id.
        refused: Positions of ``forecast_consumer.refused_record``.
        unsent: Event ids that wait in the outbox.
        doubled: Results that are there more than once, and products without all weeks and targets.
        committed: Offset by topic and partition.
    """

    topics: Topics
    sent: Sequence[Sent]
    journal: Journal
    commands: Mapping[tuple[str, str], Mapping[str, Any]]
    executions: Mapping[str, str]
    refused: AbstractSet[Position]
    unsent: AbstractSet[str]
    doubled: Sequence[str]
    committed: Mapping[tuple[str, int], int]


_DOUBLED = """
    SELECT format('%s %s %s %s: %s rows', execucao_id, produto_id, periodo, target_type, count(*))
      FROM forecast_resultado GROUP BY execucao_id, produto_id, periodo, target_type HAVING count(*) > 1"""


async def collect(database_url: str, topics: Topics, sent: Sequence[Sent], journal: Journal) -> Evidence:
    """Read the tables and the committed offsets; the journal must have been read to its end by the caller."""
    connection = await asyncpg.connect(database_url, timeout=15)
    try:
        commands = await connection.fetch("SELECT * FROM forecast_consumer.command")
        executions = await connection.fetch("SELECT id, status::text FROM execucao_planejamento")
        refused = await connection.fetch(
            'SELECT topic, partition, "offset", timestamp_ms FROM forecast_consumer.refused_record'
        )
        unsent = await connection.fetch("SELECT event_id FROM forecast_consumer.outbox")
        doubled = await connection.fetch(_DOUBLED)
    finally:
        await connection.close(timeout=5)
    return Evidence(
        topics=topics,
        sent=sent,
        journal=journal,
        commands={(row["source"], row["event_id"]): dict(row) for row in commands},
        executions={row["id"]: row["status"] for row in executions},
        refused={Position(*row) for row in refused},
        unsent={row["event_id"] for row in unsent},
        doubled=[row[0] for row in doubled],
        committed=await committed_offsets(topics),
    )


async def committed_offsets(topics: Topics) -> dict[tuple[str, int], int]:
    """The group's offsets by topic and partition."""
    async with admin_client(topics.bootstrap_servers) as admin, asyncio.timeout(COORDINATOR_SECONDS):
        offsets = None
        while offsets is None:
            try:
                offsets = await admin.list_consumer_group_offsets(topics.settings["group_id"])
            except (GroupCoordinatorNotAvailableError, CoordinatorNotAvailableError):
                # A broker that has just started makes its topic of offsets at the first question.
                await asyncio.sleep(0.1)
    return {(place.topic, place.partition): entry.offset for place, entry in offsets.items() if entry.offset >= 0}
