"""PgQueuer: no-op jobs, queued beforehand, drained by one queue manager in batches on uvloop, as its command does."""

from __future__ import annotations

import json
import sys
import time

import asyncpg
import uvloop
from pgqueuer import AsyncpgDriver, Job, QueueManager
from pgqueuer.queries import Queries
from pgqueuer.types import QueueExecutionMode

from benchmarks.peers import rows

BATCH = 100


async def main(count: int) -> None:
    """Print the seconds of the run; jobs run as they come, without a limit of their number."""
    connection = await asyncpg.connect(rows.DATABASE_URL)
    queries = Queries(AsyncpgDriver(connection))
    await queries.install()
    await queries.enqueue(["noop"] * count, [None] * count, [0] * count)
    manager = QueueManager(queries)
    done = 0

    @manager.entrypoint("noop")
    async def noop(_: Job) -> None:
        nonlocal done
        done += 1

    started = time.perf_counter()
    await manager.run(batch_size=BATCH, mode=QueueExecutionMode.drain)
    seconds = time.perf_counter() - started
    left = await connection.fetchval("SELECT count(*) FROM pgqueuer")
    await connection.close()
    if done != count or left:
        raise RuntimeError(f"{done} of {count} jobs ran, {left} are left")
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
