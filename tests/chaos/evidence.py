"""What a run left behind: the command topics read from offset 0, the answers, and the database's own audit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from consumer.db.outbox import decode_headers
from consumer.received import Received, receive
from schemas.enums import TopicKind
from schemas.records import RawRecord
from tests.chaos.load import NUMBER_HEADER
from tests.chaos.records import MISSING_REPLY, REPLY, TINY_REPLY
from tests.e2e.rows import connected
from tests.support.evidence import Evidence, Sent, collect
from tests.support.journal import Follower, Journal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from tests.chaos.history import History
    from tests.support.topics import Topics

COMMAND_TOPICS: Final = ("train", "predict", "backtest", "cancel")
Content = tuple[str, bytes | None, bytes | None, tuple[tuple[str, bytes | None], ...]]


@dataclass(frozen=True, slots=True)
class Audited:
    """An outbox row as it was committed.

    Attributes:
        waiting_seconds: How long it has been waiting to be published; None when it is not.
    """

    number: int
    event_id: str
    parked: bool
    content: Content
    waiting_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that the verdict is made of.

    Attributes:
        evidence: What ``tests.support.invariants`` decides on; its journal has the service's own topics.
        replies: What stands on the reply topics.
        outbox: Every message that was committed, in the order of the rows' ids.
        gone: Those whose rows were gone before the topics were read: all of them must be there.
        statuses: Every change of a status that was committed, in order.
        fenced: Writes by place, claimed and true epoch, and how many of them there were.
        forecasts: Ended predictions: what their summary says beside what the table holds.
    """

    evidence: Evidence
    replies: Journal
    records: Sequence[RawRecord]
    outbox: Sequence[Audited]
    gone: AbstractSet[int]
    statuses: Sequence[tuple[str, str, str]]
    fenced: Mapping[tuple[str, int, int], int]
    forecasts: Sequence[Mapping[str, Any]]


_OUTBOX = """
    SELECT a.*, w.parked_reason IS NOT NULL AS parked,
           CASE WHEN w.id IS NOT NULL AND w.parked_reason IS NULL
                THEN extract(epoch FROM clock_timestamp() - a.created_at)::float END AS waiting
      FROM chaos.outbox AS a
      LEFT JOIN forecast_consumer.outbox AS w ON w.id = a.id ORDER BY a.id"""
_GONE = (
    "SELECT id FROM chaos.outbox AS a WHERE NOT EXISTS (SELECT FROM forecast_consumer.outbox AS w WHERE w.id = a.id)"
)
_FENCED = "SELECT place, claimed, held, count(*) FROM chaos.fenced_write GROUP BY place, claimed, held"
_FORECASTS = """
    SELECT e.id, e.status::text, (e.resultado_resumo ->> 'rows')::int AS told,
           (e.resultado_resumo ->> 'products')::int - (e.resultado_resumo #>> '{failed,count}')::int AS products,
           (e.resultado_resumo ->> 'without_price')::int AS without_price,
           (e.resultado_resumo ->> 'horizon_weeks')::int AS weeks,
           (SELECT count(*) FROM forecast_resultado AS r WHERE r.execucao_id = e.id) AS found
      FROM execucao_planejamento AS e
     WHERE e.status IN ('CONCLUIDO', 'PARCIAL') AND e.tipo = 'FORECAST'"""


async def gather(url: str, topics: Topics, history: History) -> Findings:
    """Read it all; the servers must be well."""
    async with connected(url) as connection:
        gone = {row["id"] for row in await connection.fetch(_GONE)}
    records = await read_commands(topics)
    async with Follower(topics.bootstrap_servers, topics.all[4:]) as follower:
        journal = await follower.to_the_end()
    async with Follower(topics.bootstrap_servers, [topics.name(REPLY), topics.name(TINY_REPLY)]) as follower:
        replies = await follower.to_the_end()
    async with connected(url) as connection:
        outbox = [_audited(row) for row in await connection.fetch(_OUTBOX)]
        statuses = [tuple(row) for row in await connection.fetch("SELECT execucao_id, before, after FROM chaos.status")]
        fenced = {tuple(row)[:3]: row[3] for row in await connection.fetch(_FENCED)}
        forecasts = [dict(row) for row in await connection.fetch(_FORECASTS)]
    bare = await collect(url, topics, (), journal)
    sent = judge(records, topics, history, bare)
    evidence = await collect(url, topics, sent, journal)
    return Findings(evidence, replies, records, outbox, gone, statuses, fenced, forecasts)


async def read_commands(topics: Topics) -> list[RawRecord]:
    """Every record of the command topics, with the timestamp of its own."""
    names = [topics.name(f"forecast.{name}") for name in COMMAND_TOPICS]
    consumer = AIOKafkaConsumer(
        *names,
        bootstrap_servers=topics.bootstrap_servers,
        group_id=None,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=8 * 1024 * 1024,
    )
    found: list[RawRecord] = []
    async with consumer:
        ends: dict[TopicPartition, int] = await consumer.end_offsets(consumer.assignment())
        for partition, end in ends.items():
            while await consumer.position(partition) < end:
                for batch in (await consumer.getmany(timeout_ms=500)).values():
                    found += [_raw(record) for record in batch]
    return found


def judge(records: Sequence[RawRecord], topics: Topics, history: History, bare: Evidence) -> list[Sent]:
    """What had to become of each record, which for some depends on what the service read first."""
    kinds = {topics.name(f"forecast.{name}"): TopicKind(name) for name in COMMAND_TOPICS}
    read = [(raw, receive(raw, kinds[raw.topic], lambda: "")) for raw in records]  # type: ignore[arg-type,return-value]
    bodies = {(item.identity, item.digest) for _, item in read if isinstance(item, Received)}
    owners = {row["execucao_id"]: identity for identity, row in bare.commands.items() if row["comando"] != "cancel"}
    return [_sent(raw, item, history, bare, bodies, owners) for raw, item in read]


def _sent(raw: RawRecord, item: Any, history: History, bare: Evidence, bodies: Any, owners: Any) -> Sent:
    number = next(int(value) for name, value in raw.headers if name == NUMBER_HEADER and value is not None)
    attempt = history.attempts[number]
    good = attempt.expected != "bad"
    identity = (f"kafka:{raw.topic}", raw.position)
    if isinstance(item, Received):
        identity = item.identity
        row = bare.commands.get(tuple(identity))
        if attempt.expected == "either":
            good = row is not None and bytes(row["digest"]) == item.digest
        elif good and row is not None and bytes(row["digest"]) != item.digest:
            good = (item.identity, bytes(row["digest"])) not in bodies  # another body came first, if there is one
        elif good and row is None and item.names_execution:
            good = owners.get(item.execucao_id, tuple(identity)) == tuple(identity)  # or another command took its place
    return Sent(raw.topic, raw.partition, raw.offset, raw.timestamp_ms, attempt.kind, good, *identity)


def _audited(row: Mapping[str, Any]) -> Audited:
    content = (row["topic"], row["key"], row["value"], decode_headers(row["headers"]))
    return Audited(row["id"], row["event_id"], row["parked"], content, row["waiting"])


def _raw(record: Any) -> RawRecord:
    return RawRecord(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
    )


def expected_to_be_parked(topics: Topics, topic: str) -> bool:
    return topic in (topics.name(TINY_REPLY), topics.name(MISSING_REPLY))
