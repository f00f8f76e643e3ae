"""The durable work of one command, the same for every peer of the intake row.

A row of the command table, a row of the backend's table, and one PENDENTE on the status topic. Peers publish straight
after their transaction, without an outbox: with at-least-once delivery that is enough for them.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import asyncpg

DATABASE_URL: Final = os.environ.get("FORECAST_DATABASE_URL", "")
BOOTSTRAP_SERVERS: Final = os.environ.get("FORECAST_BOOTSTRAP_SERVERS", "")
GROUP: Final = os.environ.get("FORECAST_GROUP_ID", "")
COMMANDS: Final = os.environ.get("FORECAST_TOPIC_PREDICT", "")
STATUS: Final = os.environ.get("FORECAST_TOPIC_STATUS", "")
BATCH: Final = 1_000  # as the service's own default

_COMMAND_COLUMNS: Final = {
    "source": "text",
    "event_id": "text",
    "execucao_id": "text",
    "comando": "text",
    "gatilho": "text",
    "digest": "bytea",
    "payload": "text",
    "priority": "smallint",
    "origin_topic": "text",
    "origin_partition": "int",
    "origin_offset": "bigint",
    "state": "text",
    "status_sequence": "int",
}
_EXECUTION_COLUMNS: Final = {"id": "", "tipo": '"TipoExecucao"', "status": '"StatusExecucao"'} | {
    "gatilho": '"GatilhoExecucao"',
    "parametros": "jsonb",
}


@dataclass(frozen=True, slots=True)
class Accepted:
    """The rows and the event of one command."""

    command: tuple[Any, ...]
    execution: tuple[Any, ...]
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def accept(headers: Mapping[str, str], body: Mapping[str, Any], place: tuple[str, int, int]) -> Accepted:
    """Make the rows of one valid command read at topic, partition and offset."""
    payload, execucao_id, event_id = json.dumps(body), str(uuid4()), headers["ce_id"]
    digest, gatilho = hashlib.sha256(payload.encode()).digest(), body["gatilho"]
    command = (headers["ce_source"], event_id, execucao_id, "predict", gatilho, digest, payload, body["priority"])
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    event = {"execucao_id": execucao_id, "comando": "predict", "status": "PENDENTE", "gatilho": gatilho, "attempt": 1}
    event |= {"sequence": 1, "progress": None, "error": None, "resultado_resumo": None, "occurred_at": time}
    names = {"ce_specversion": "1.0", "ce_id": f"{execucao_id}:status:1", "ce_source": "/bench", "ce_time": time}
    names |= {"ce_type": "forecast.status", "ce_subject": execucao_id, "ce_causationid": event_id}
    return Accepted(
        (*command, *place, "queued", 1),
        (execucao_id, "FORECAST", "PENDENTE", gatilho, payload),
        execucao_id.encode(),
        json.dumps(event).encode(),
        [(name, text.encode()) for name, text in names.items()],
    )


def read(record: Any) -> Accepted:
    """The same from a record of aiokafka, checked no more than a hand-written loop would."""
    headers = {name: value.decode() for name, value in record.headers}
    return accept(headers, json.loads(record.value), (record.topic, record.partition, record.offset))


async def store(connection: asyncpg.Connection, rows: Sequence[Accepted]) -> None:
    """Both tables in one transaction, one statement each."""
    async with connection.transaction():
        for statement, pick in ((_COMMANDS, "command"), (_EXECUTIONS, "execution")):
            await connection.execute(statement, *zip(*(getattr(row, pick) for row in rows), strict=True))


async def store_one(connection: asyncpg.Connection, row: Accepted) -> None:
    """The same for a handler that sees one message."""
    async with connection.transaction():
        await connection.execute(_COMMAND, *row.command)
        await connection.execute(_EXECUTION, *row.execution)


def _insert(table: str, columns: Mapping[str, str], casts: Mapping[str, str], *, many: bool) -> str:
    kinds = [kind or "text" for kind in columns.values()]
    if many:
        arrays = ", ".join(f"${place}::{kind}[]" for place, kind in enumerate(kinds, start=1))
        picked = ", ".join(f"{name}::{casts[name]}" if name in casts else name for name in columns)
        rows = f"SELECT {picked} FROM unnest({arrays}) AS row ({', '.join(columns)})"  # noqa: S608 - constants
    else:
        values = [f"${place}::{kind}" for place, kind in enumerate(kinds, start=1)]
        rows = (
            "VALUES ("
            + ", ".join(
                f"{value}::{casts[name]}" if name in casts else value
                for name, value in zip(columns, values, strict=True)
            )
            + ")"
        )
    return f"INSERT INTO {table} ({', '.join(columns)}) {rows} ON CONFLICT DO NOTHING"


_CASTS: Final = {name: kind for name, kind in _EXECUTION_COLUMNS.items() if kind}
_TEXTS: Final = dict.fromkeys(_EXECUTION_COLUMNS, "text")
_COMMANDS, _COMMAND = (
    _insert("forecast_consumer.command", _COMMAND_COLUMNS, {"payload": "jsonb"}, many=many) for many in (True, False)
)
_EXECUTIONS, _EXECUTION = (_insert("execucao_planejamento", _TEXTS, _CASTS, many=many) for many in (True, False))
