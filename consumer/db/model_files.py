"""Which files of models are still needed, by what the tables say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from consumer.db.errors import transient_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consumer.db.database import Database

_UNFINISHED: Final = text("""
    SELECT execucao_id FROM forecast_consumer.command
     WHERE execucao_id = ANY(:ids) AND comando <> 'cancel' AND state <> 'done'""")
_REFERRED: Final = text("""
    SELECT DISTINCT arquivo_path FROM (
        SELECT arquivo_path, is_champion, row_number() OVER (PARTITION BY tipo_modelo ORDER BY versao DESC) AS age
          FROM forecast_modelo) AS version
     WHERE arquivo_path IS NOT NULL AND (is_champion OR age <= :versions)""")


class SqlModelFiles:
    """``consumer.artefacts.pruning.Register`` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @transient_errors
    async def unfinished(self, execution_ids: Sequence[str]) -> set[str]:
        """Those of the executions that have not ended."""
        async with self._database.session() as session:
            return set(await session.scalars(_UNFINISHED, {"ids": list(execution_ids)}))

    @transient_errors
    async def referred(self, versions: int) -> set[str]:
        """References of the champions and of the newest versions of each type."""
        async with self._database.session() as session:
            return set(await session.scalars(_REFERRED, {"versions": versions}))
