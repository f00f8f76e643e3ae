"""What the inbox says to the database: statements that take a whole batch, and what turns records into their arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from consumer.db.outbox import MESSAGE_ARRAYS, MESSAGE_COLUMNS, message_arrays, or_nothing
from schemas.commands import CancelExecution
from schemas.enums import CommandKind, TipoExecucao

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from consumer.outbound import OutboxMessage
    from consumer.received import Received, Refused

# Planning takes the newest finished execution of type FORECAST and reads its results: only a predict has any
# (docs/adr/0002).
EXECUTION_TYPE: Final = {
    CommandKind.PREDICT: TipoExecucao.FORECAST,
    CommandKind.TRAIN: TipoExecucao.PIPELINE_DIARIO,
    CommandKind.BACKTEST: TipoExecucao.PIPELINE_DIARIO,
}

_COLUMNS: Final[dict[str, tuple[str, Callable[[Received], Any]]]] = {
    "source": ("text", lambda item: item.identity.source),
    "event_id": ("text", lambda item: item.identity.event_id),
    "execucao_id": ("text", lambda item: item.execucao_id),
    "comando": ("text", lambda item: item.topic_kind.value),
    "gatilho": ("text", lambda item: item.gatilho.value),
    "digest": ("bytea", lambda item: item.digest),
    "payload": ("text", lambda item: item.canonical_json),
    "priority": ("smallint", lambda item: item.priority),
    "origin_topic": ("text", lambda item: item.raw.topic),
    "origin_partition": ("int", lambda item: item.raw.partition),
    "origin_offset": ("bigint", lambda item: item.raw.offset),
    "correlation_id": ("text", lambda item: item.envelope.correlation_id),
    "traceparent": ("text", lambda item: item.envelope.traceparent),
    "tracestate": ("text", lambda item: item.envelope.tracestate),
    "reply_topic": ("text", lambda item: item.envelope.reply and item.envelope.reply.topic),
    "reply_partition": ("int", lambda item: item.envelope.reply and item.envelope.reply.partition),
    "reply_correlation": ("text", lambda item: item.envelope.reply and item.envelope.reply.correlation_id),
    "expires_at": ("timestamptz", lambda item: item.envelope.expires_at),
    "replay_of": ("text", lambda item: item.replay_of),
    "state": ("text", lambda item: "done" if isinstance(item.command, CancelExecution) else "queued"),
    "status_sequence": ("int", lambda item: 0 if isinstance(item.command, CancelExecution) else 1),
}
_KEPT: Final = ", ".join(_COLUMNS)
_READ: Final = ", ".join(f"{name}::jsonb" if name == "payload" else name for name in _COLUMNS)
_ARRAYS: Final = ", ".join(f"cast(:{name} AS {kind}[])" for name, (kind, _) in _COLUMNS.items())
INSERT: Final = text(f"""
    INSERT INTO forecast_consumer.command ({_KEPT}, finished_at)
    SELECT {_READ}, CASE WHEN state = 'done' THEN now() END FROM unnest({_ARRAYS}) AS incoming({_KEPT})
    ON CONFLICT DO NOTHING
 RETURNING source, event_id""")  # noqa: S608 - made of the constants above
# A command, its execution (adopted where it exists) and its messages: none without the command.
ACCEPT: Final = text(f"""
    WITH incoming AS MATERIALIZED (
        SELECT * FROM unnest({_ARRAYS}, cast(:tipo AS text[]), cast(:created_by AS text[]))
            AS incoming({_KEPT}, tipo, created_by)),
    accepted AS (
        INSERT INTO forecast_consumer.command ({_KEPT}) SELECT {_READ} FROM incoming
        ON CONFLICT DO NOTHING RETURNING execucao_id),
    execution AS (
        INSERT INTO execucao_planejamento (id, tipo, status, gatilho, parametros, created_by)
        SELECT execucao_id, tipo::"TipoExecucao", 'PENDENTE', gatilho::"GatilhoExecucao",
               jsonb_build_object('comando', comando) || payload::jsonb, created_by
          FROM incoming JOIN accepted USING (execucao_id)
        ON CONFLICT (id) DO NOTHING),
    announced AS (
        INSERT INTO forecast_consumer.outbox (event_id, topic, partition, key, value, headers)
        SELECT m.event_id, m.topic, m.partition, m.key, m.value, m.headers
          FROM {MESSAGE_ARRAYS} WITH ORDINALITY AS m({MESSAGE_COLUMNS}, position)
          JOIN unnest(cast(:owner AS text[])) WITH ORDINALITY AS o(execucao_id, position) USING (position)
          JOIN accepted USING (execucao_id)
         ORDER BY position
     RETURNING id)
    SELECT (SELECT array_agg(execucao_id) FROM accepted) AS accepted,
           (SELECT array_agg(id ORDER BY id) FROM announced) AS announced""")  # noqa: S608 - likewise
# All in one snapshot, after the locks: identities, users and positions as they are for each record.
FACTS: Final = text("""
    SELECT read.place, c.digest, u.id IS NOT NULL AS user_exists, r.topic IS NOT NULL AS refused
      FROM unnest(cast(:source AS text[]), cast(:event_id AS text[]), cast(:created_by AS text[]),
                  cast(:topic AS text[]), cast(:partition AS int[]), cast(:offset AS bigint[]),
                  cast(:timestamp_ms AS bigint[])) WITH ORDINALITY
        AS read(source, event_id, created_by, topic, partition, "offset", timestamp_ms, place)
      LEFT JOIN forecast_consumer.command AS c ON c.source = read.source AND c.event_id = read.event_id
      LEFT JOIN usuario AS u ON u.id = read.created_by
      LEFT JOIN forecast_consumer.refused_record AS r
        ON r.topic = read.topic AND r.partition = read.partition
       AND r."offset" = read."offset" AND r.timestamp_ms = read.timestamp_ms
     WHERE c.digest IS NOT NULL OR u.id IS NOT NULL OR r.topic IS NOT NULL""")
# One member at a time persists records of a partition; sorted, so that no two wait for each other.
RESERVE: Final = text("""
    SELECT pg_advisory_xact_lock(key) FROM (
        SELECT DISTINCT hashtextextended('forecast_consumer inbox ' || partition || ' ' || topic, 0) AS key
          FROM unnest(cast(:topic AS text[]), cast(:partition AS int[])) AS read(topic, partition)
         ORDER BY key) AS sorted""")
# Locked before their executions, as every writer of an execution does: the order that rules out deadlocks.
ATTACHED: Final = text("""
    SELECT execucao_id, state FROM forecast_consumer.command
     WHERE execucao_id = ANY(cast(:ids AS text[])) AND comando <> 'cancel' ORDER BY execucao_id FOR UPDATE""")
# One array a column: a batch may hold more bad records than a statement may have parameters.
REMEMBER_POSITIONS: Final = text("""
    INSERT INTO forecast_consumer.refused_record (topic, partition, "offset", timestamp_ms, reason)
    SELECT * FROM unnest(cast(:topic AS text[]), cast(:partition AS int[]), cast(:offset AS bigint[]),
                         cast(:timestamp_ms AS bigint[]), cast(:reason AS text[]))
    ON CONFLICT DO NOTHING
 RETURNING topic, partition, refused_record."offset" """)


def position_arrays(items: Sequence[Received] | Sequence[Refused]) -> dict[str, list[Any]]:
    """One array a column, as the parameters of a statement."""
    return {
        "topic": [item.raw.topic for item in items],
        "partition": [item.raw.partition for item in items],
        "offset": [item.raw.offset for item in items],
        "timestamp_ms": [item.raw.timestamp_ms for item in items],
    }


def position_of(item: Received | Refused) -> tuple[str, int, int, int]:
    """What tells one record from all others, as ``Facts.refused`` names it."""
    return item.raw.topic, item.raw.partition, item.raw.offset, item.raw.timestamp_ms


def in_one_order(received: Sequence[Received]) -> list[Received]:
    """Two members with the same commands from other partitions then never wait for each other."""
    return sorted(received, key=lambda item: item.identity)


def command_arrays(ordered: Sequence[Received]) -> dict[str, list[Any]]:
    """Parameters of ``INSERT``, and those of ``ACCEPT`` that are columns of the command table."""
    return {name: or_nothing([read(item) for item in ordered]) for name, (_, read) in _COLUMNS.items()}


def accept_arrays(received: Sequence[Received], announced: Sequence[tuple[str, OutboxMessage]]) -> dict[str, list[Any]]:
    """Parameters of ``ACCEPT``.

    Args:
        received: The commands.
        announced: Each message with the execution that it is about.
    """
    ordered = in_one_order(received)
    return {
        **command_arrays(ordered),
        "tipo": [EXECUTION_TYPE[item.kind].value for item in ordered],
        "created_by": or_nothing([item.created_by for item in ordered]),
        "owner": [execucao_id for execucao_id, _ in announced],
        **message_arrays([message for _, message in announced]),
    }


def fact_arrays(received: Sequence[Received]) -> dict[str, list[Any]]:
    """Parameters of ``FACTS``."""
    return {
        "source": [item.identity.source for item in received],
        "event_id": [item.identity.event_id for item in received],
        "created_by": or_nothing([item.created_by for item in received]),
        **position_arrays(received),
    }
