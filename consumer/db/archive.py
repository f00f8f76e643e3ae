"""Pruning the service's own tables. The backend's tables are never touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from consumer.db.errors import transient_errors

if TYPE_CHECKING:
    from consumer.db.database import Database

# By CTE: `DELETE … WHERE … IN (SELECT … LIMIT … FOR UPDATE SKIP LOCKED)` may be planned so that it exceeds its LIMIT.
# statement_timestamp(): what may differ from row to row, as clock_timestamp() may, is no bound of an index, and every
# young row would be read.
_PRUNE_COMMANDS: Final = text("""
    WITH old AS MATERIALIZED (
        SELECT source, event_id, execucao_id, comando FROM forecast_consumer.command
         WHERE state = 'done' AND finished_at < statement_timestamp() - make_interval(secs => :keep_seconds)
         ORDER BY finished_at LIMIT :limit FOR UPDATE SKIP LOCKED),
    chunks AS (
        DELETE FROM forecast_consumer.chunk AS c USING old
         WHERE old.comando <> 'cancel' AND c.execucao_id = old.execucao_id)
    DELETE FROM forecast_consumer.command AS c USING old
     WHERE c.source = old.source AND c.event_id = old.event_id
 RETURNING 1""")
_PRUNE_POSITIONS: Final = text("""
    WITH old AS MATERIALIZED (
        SELECT topic, partition, "offset", timestamp_ms FROM forecast_consumer.refused_record
         WHERE refused_at < statement_timestamp() - make_interval(secs => :keep_seconds)
         ORDER BY refused_at LIMIT :limit FOR UPDATE SKIP LOCKED)
    DELETE FROM forecast_consumer.refused_record AS r USING old
     WHERE (r.topic, r.partition, r."offset", r.timestamp_ms)
         = (old.topic, old.partition, old."offset", old.timestamp_ms)
 RETURNING 1""")
_PRUNE_DECISIONS: Final = text("""
    WITH old AS MATERIALIZED (
        SELECT topic, partition, "offset", timestamp_ms FROM forecast_consumer.dead_letter_decision
         WHERE decided_at < statement_timestamp() - make_interval(secs => :keep_seconds)
         ORDER BY decided_at LIMIT :limit FOR UPDATE SKIP LOCKED)
    DELETE FROM forecast_consumer.dead_letter_decision AS d USING old
     WHERE (d.topic, d.partition, d."offset", d.timestamp_ms)
         = (old.topic, old.partition, old."offset", old.timestamp_ms)
 RETURNING 1""")
_PRUNE_PARKED: Final = text("""
    WITH old AS MATERIALIZED (
        SELECT id FROM forecast_consumer.outbox
         WHERE parked_reason IS NOT NULL
           AND created_at < statement_timestamp() - make_interval(secs => :keep_seconds)
         ORDER BY created_at LIMIT :limit FOR UPDATE SKIP LOCKED)
    DELETE FROM forecast_consumer.outbox AS o USING old
     WHERE o.id = old.id
 RETURNING 1""")


class SqlArchive:
    """``consumer.maintenance.Archive`` on PostgreSQL; ages by the database's clock."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @transient_errors
    async def prune(self, keep_days: float, limit: int) -> int:
        """Commands with their chunks, bad records' positions, decisions on dead letters, parked messages.

        One short transaction; the limit is of each kind.
        """
        parameters = {"keep_seconds": keep_days * 86_400, "limit": limit}
        async with self._database.transaction() as session:
            commands = (await session.execute(_PRUNE_COMMANDS, parameters)).all()
            positions = (await session.execute(_PRUNE_POSITIONS, parameters)).all()
            decisions = (await session.execute(_PRUNE_DECISIONS, parameters)).all()
            parked = (await session.execute(_PRUNE_PARKED, parameters)).all()
            return len(commands) + len(positions) + len(decisions) + len(parked)

    @transient_errors
    async def queued(self, at_most: int) -> int:
        """Commands that wait, counted up to ``at_most``: what backpressure needs to know."""
        statement = text("""
            SELECT count(*) FROM (
                SELECT FROM forecast_consumer.command WHERE state = 'queued' LIMIT :at_most) AS queued""")
        async with self._database.session() as session:
            return int(await session.scalar(statement, {"at_most": at_most}) or 0)
