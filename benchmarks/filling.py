"""Commands and executions that are in the tables before a measurement begins."""

from __future__ import annotations

from typing import Final

import asyncpg

PAYLOAD: Final = '{"produto_ids": ["P00000"], "horizonte_semanas": 13, "gatilho": "AGENDADO", "priority": 3}'
SPREAD_DAYS: Final = 20  # how long ago the oldest finished command ended: less than retention keeps
# Queued commands are as old as if intake had stored them in batches of 500: a batch has one time of receipt.
_EXECUTIONS: Final = """
    INSERT INTO execucao_planejamento (id, tipo, status, gatilho, parametros, completed_at)
    SELECT $1 || number, 'FORECAST', $2::"StatusExecucao", 'AGENDADO', $3::jsonb, $4
      FROM generate_series(1, $5::int) AS number"""
_COMMANDS: Final = """
    INSERT INTO forecast_consumer.command (
        source, event_id, execucao_id, comando, gatilho, digest, payload, priority, origin_topic, origin_partition,
        origin_offset, state, status_sequence, received_at, finished_at)
    SELECT '/benchmark', $1 || number, $1 || number, 'predict', 'AGENDADO', sha256($1::bytea), $2::jsonb, 3, 'filled',
           0, number, $3, 1, now() - age, CASE WHEN $3 = 'done' THEN now() - age END
      FROM generate_series(1, $4::int) AS number
     CROSS JOIN LATERAL (
        SELECT make_interval(secs => CASE WHEN $3 = 'done' THEN number::float / $4 * 86400 * $5
                                     ELSE (($4 - number) / 500) * 0.03 END) AS age) AS old"""


async def fill(url: str, *, finished: int = 0, queued: int = 0, label: str = "") -> None:
    """Add finished and queued predicts of one product, all visible at the same moment; no label twice."""
    connection = await asyncpg.connect(url, timeout=15)
    try:
        async with connection.transaction():
            for count, prefix, status, state in (
                (finished, f"finished-{label}", "CONCLUIDO", "done"),
                (queued, f"queued-{label}", "PENDENTE", "queued"),
            ):
                if count:
                    await connection.execute(_EXECUTIONS, prefix, status, PAYLOAD, None, count, timeout=900)
                    await connection.execute(_COMMANDS, prefix, PAYLOAD, state, count, SPREAD_DAYS, timeout=900)
    finally:
        await connection.close(timeout=5)


async def settle(url: str) -> None:
    """Statistics and hint bits, which a table that grew slowly would have."""
    connection = await asyncpg.connect(url, timeout=15)
    try:
        await connection.execute("VACUUM (ANALYZE)", timeout=900)
    finally:
        await connection.close(timeout=5)
