"""procrastinate: no-op jobs, queued beforehand, run by one worker until none is left."""

from __future__ import annotations

import asyncio
import json
import sys
import time

from procrastinate import App, PsycopgConnector

from benchmarks.peers import rows

app = App(connector=PsycopgConnector(conninfo=rows.DATABASE_URL, min_size=4, max_size=20))


@app.task(name="noop")
async def noop() -> None:
    """Do nothing."""


async def main(count: int, concurrency: int) -> None:
    """Print the seconds of the run."""
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        await noop.batch_defer_async(*({} for _ in range(count)))
        started = time.perf_counter()
        await app.run_worker_async(wait=False, concurrency=concurrency, install_signal_handlers=False)
        seconds = time.perf_counter() - started
        done = await app.connector.execute_query_one_async(
            "SELECT count(*) AS jobs FROM procrastinate_jobs WHERE status = 'succeeded'"
        )
    if done["jobs"] != count:
        raise RuntimeError(f"{done['jobs']} of {count} jobs succeeded")
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
