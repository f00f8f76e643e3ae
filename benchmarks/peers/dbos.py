"""DBOS: workflows of ten no-op steps on one event loop, so many at once as everybody runs."""

from __future__ import annotations

import asyncio
import json
import sys
import time

from dbos import DBOS, DBOSConfig

from benchmarks.peers import rows

STEPS = 10


@DBOS.step()
async def step() -> None:
    """Do nothing, and be remembered for it."""


@DBOS.workflow()
async def ten_steps() -> int:
    """Ten checkpoints."""
    for _ in range(STEPS):
        await step()
    return STEPS


async def main(count: int, concurrency: int) -> None:
    """Print the seconds of the run."""
    left = iter(range(count))

    async def lane() -> int:
        done = 0
        for _ in left:
            handle = await DBOS.start_workflow_async(ten_steps)
            done += await handle.get_result() == STEPS
        return done

    started = time.perf_counter()
    done = sum(await asyncio.gather(*(lane() for _ in range(concurrency))))
    seconds = time.perf_counter() - started
    if done != count:
        raise RuntimeError(f"{done} of {count} workflows ended well")
    print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    config: DBOSConfig = {"name": "bench", "system_database_url": rows.DATABASE_URL, "log_level": "WARNING"}
    DBOS(config=config)
    DBOS.launch()
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
    DBOS.destroy()
