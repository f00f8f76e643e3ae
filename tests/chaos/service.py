"""``python -m tests.chaos.service``: the service through its own composition root, with what a chaos run needs.

Drawn-out computation, a clock that is wrong (``CHAOS_CLOCK_OFFSET`` seconds), a mark in every fenced transaction that
the audit's triggers read, and one mutant (``CHAOS_MUTANT``). Nothing else differs from ``python -m consumer run``.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


def main() -> None:
    import asyncio  # noqa: PLC0415  the model processes import this module again and need none of it

    from consumer.bootstrap import run_service  # noqa: PLC0415
    from consumer.errors import StartupError  # noqa: PLC0415
    from consumer.settings import Settings  # noqa: PLC0415
    from consumer.telemetry.logs import configure  # noqa: PLC0415
    from tests.chaos import upgrade  # noqa: PLC0415

    configure("json", "info")
    draw_out()
    set_clock(float(os.environ.get("CHAOS_CLOCK_OFFSET", "0")))
    set_pool(int(os.environ.get("CHAOS_POOL", "0")))
    if os.environ.get(upgrade.VARIABLE) == upgrade.NEXT:
        upgrade.become_next()
    if mutant := os.environ.get("CHAOS_MUTANT"):
        from tests.chaos.mutants import MUTANTS  # noqa: PLC0415

        MUTANTS[mutant].apply()
    mark_fenced_work()  # after the mutant, which may have taken away what is marked
    try:
        sys.exit(int(asyncio.run(run_service(Settings(_env_file=None)))))
    except StartupError as error:
        print(error, file=sys.stderr)
        sys.exit(int(error.exit_code))


def draw_out() -> None:
    """Chunks take as long as their command says, and model processes start fast."""
    from consumer import processes  # noqa: PLC0415
    from consumer.execution import chunks  # noqa: PLC0415
    from tests.chaos import slow  # noqa: PLC0415

    chunks.compute_chunk = slow.slow_compute_chunk
    processes._start_process = slow.start_process


def mark_fenced_work() -> None:
    """Tell the database which epochs a transaction claims to hold; say when the fence refuses one."""
    import json  # noqa: PLC0415

    from sqlalchemy import text  # noqa: PLC0415

    from consumer.db import fenced  # noqa: PLC0415
    from consumer.telemetry.logs import get_logger  # noqa: PLC0415

    mark = text("SELECT set_config('chaos.leases', :leases, true)")
    original = fenced._lock

    async def marked(session, leases):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        rows = await original(session, leases)
        claimed = {lease.execucao_id: lease.epoch for lease in rows}
        await session.execute(mark, {"leases": json.dumps(claimed)})
        for lease in leases:
            if lease not in rows:
                get_logger("chaos").warning("zombie_write_refused", execucao_id=lease.execucao_id, epoch=lease.epoch)
        return rows

    fenced._lock = marked


def set_clock(offset_seconds: float) -> None:
    """A process whose wall clock is wrong."""
    from datetime import timedelta  # noqa: PLC0415

    from consumer import bootstrap  # noqa: PLC0415

    class OffsetClock(bootstrap.SystemClock):
        def now(self) -> datetime:
            return super().now() + timedelta(seconds=offset_seconds)

    if offset_seconds:
        bootstrap.SystemClock = OffsetClock


def set_pool(size: int) -> None:
    """A process whose pools have so few connections that its tasks wait for each other; 0 leaves them as they are."""
    from consumer.db.database import Database  # noqa: PLC0415

    original = Database.open.__func__  # type: ignore[attr-defined]  # of the class method

    def small(cls, url, **arguments):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN003, ANN202
        fewest = min(size, arguments.get("pool_size", size))
        return original(cls, url, **{**arguments, "pool_size": fewest, "max_overflow": 0})

    if size:
        Database.open = classmethod(small)  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
