"""Whether a pooled connection still lives: known without a question when it was used a moment ago."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError, InvalidatePoolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Engine

PING_AFTER_SECONDS: Final = 1.0
_CHECKED_IN: Final = "checked_in"


def check_connections(engine: Engine, monotonic: Callable[[], float] = time.monotonic) -> None:
    """Look at each connection that leaves the pool; one that is dead takes its contemporaries with it.

    A ping before every use (``pool_pre_ping``) costs three round trips. A server that goes away closes its sockets,
    which the driver notices by itself; what goes away without a word is found by a ping, but only after a second of
    rest. A statement that still meets a dead connection fails like one that loses it in the middle: TransientError.
    """
    dialect: Any = engine.dialect

    def checked_in(_connection: Any, record: Any) -> None:
        record.info[_CHECKED_IN] = monotonic()

    def checked_out(connection: Any, record: Any, _fairy: Any) -> None:
        since = record.info.get(_CHECKED_IN)
        if since is None:
            return  # just opened
        driver, idle = connection.driver_connection, monotonic() - since
        if not driver.is_closed() and _is_half_begun(driver):
            raise DisconnectionError  # of this one alone
        if driver.is_closed() or (idle >= PING_AFTER_SECONDS and not _answers(connection)):
            raise InvalidatePoolError

    def _answers(connection: Any) -> bool:
        try:
            dialect.do_ping(connection)
        except dialect.loaded_dbapi.Error as error:
            if dialect.is_disconnect(error, connection, None):
                return False
            raise
        return True

    event.listen(engine, "checkin", checked_in)
    event.listen(engine, "checkout", checked_out)


def _is_half_begun(driver: Any) -> bool:
    """Whether a BEGIN that failed has left its mark: from then on asyncpg would nest savepoints in a transaction.

    A statement timeout or a cancellation is enough; SQLAlchemy, for which nothing has begun, rolls nothing back.
    """
    return driver.is_in_transaction() or driver._top_xact is not None  # noqa: SLF001  asyncpg tells it nowhere else
