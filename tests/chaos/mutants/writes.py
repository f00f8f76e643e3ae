"""Writes without a fence, and results that are added instead of replaced."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from consumer.db import fenced
from consumer.db.command_rows import EXECUTION_COLUMNS
from consumer.db.own_tables import command
from consumer.db.repositories import forecast_repo, result_rows
from consumer.db.repositories.forecast_repo import ForecastRepository

if TYPE_CHECKING:
    from consumer.ports.fenced import ResultRows


def remove_fence() -> None:
    """The rows are locked, and nobody asks whose they are."""

    async def lock(session: Any, leases: Any) -> Any:
        by_name = {lease.execucao_id: lease for lease in leases}
        statement = (
            select(*EXECUTION_COLUMNS)
            .where(command.c.execucao_id.in_(by_name), command.c.comando != "cancel")
            .order_by(command.c.execucao_id)
        )
        rows = (await session.execute(statement.with_for_update())).mappings().all()
        return {by_name[row["execucao_id"]]: row for row in rows}

    fenced._lock = lock


def append_results() -> None:
    """As if rows were written as they are computed: committed at once, under new ids, nothing taken away before."""

    async def append(self: Any, rows: ResultRows) -> int:
        if not rows.product_ids:
            return 0
        async with AsyncSession(self._session.bind) as session, session.begin():
            return await ForecastRepository(session).replace_written(self.execution.execucao_id, rows)

    def new_ids(_: str, every: Any, horizon: int) -> Any:
        return np.array([str(uuid.uuid4()).encode() for _ in range(len(every) * horizon)])

    result_rows._ids = new_ids
    forecast_repo._DELETE_RESULTS = text("SELECT :execucao_id, cast(:products AS text[])")
    fenced.SqlFencedWork.replace_results = append  # type: ignore[method-assign]
