"""Sessions without a database: they answer what a test tells them, and remember what they were asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import AsyncMock, MagicMock, Mock

import asyncpg
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

if TYPE_CHECKING:
    from collections.abc import Sequence


def session_answering(
    *, rows: Sequence[Any] = (), scalars: Sequence[Any] = (), scalar: Any = None, get: Any = None
) -> AsyncMock:
    """A session whose every ``execute``, ``scalars``, ``scalar`` and ``get`` gives the same answer."""
    session = AsyncMock(spec=AsyncSession)
    result = MagicMock()
    result.__iter__.side_effect = lambda: iter(rows)
    result.one.side_effect = lambda: rows[0]
    session.execute.return_value = result
    session.scalars.side_effect = lambda *_, **__: iter(scalars)
    session.scalar.return_value = scalar
    session.get.return_value = get
    return session


def driver_of(session: AsyncMock, *, in_transaction: bool = True) -> AsyncMock:
    """The asyncpg connection behind a mocked session."""
    driver = AsyncMock(spec=asyncpg.Connection)
    driver.is_in_transaction = Mock(return_value=in_transaction)
    pooled = Mock(driver_connection=driver)
    session.connection.return_value = AsyncMock(get_raw_connection=AsyncMock(return_value=pooled))
    return driver


def sql_of(call: Any) -> str:
    """The statement of a recorded call as PostgreSQL would read it, on one line, literals included."""
    compiled = call.args[0].compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
    return " ".join(str(compiled).split())
