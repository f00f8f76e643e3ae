"""``noop``: executions that compute nothing, from the claim to the last event on Kafka.

Ours is the service with the roles worker and relay and the job of ten steps as it is, but with sales and models that
answer at once. The jobs of the peers are queued before their clock starts; DBOS starts its workflows itself.
"""

from __future__ import annotations

import json
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks.filling import fill
from benchmarks.measure import Result, compare
from benchmarks.observer import observe
from benchmarks.stage import Stage, module

if TYPE_CHECKING:
    from collections.abc import Mapping

WITHIN: Final = 300.0
# At a time, for each what served it best of 10, 20 and 40; PgQueuer takes batches of 100 whatever it is told.
AT_A_TIME: Final = {"ours": 40, "procrastinate": 40, "pgqueuer": 10, "dbos": 10}
WARMING: Final = 40  # executions before the clock starts: connections, statements, imports; peers have theirs, too
SETTINGS: Final = {
    "FORECAST_ROLES": "worker,relay",
    "FORECAST_WORKER_EXECUTIONS": "10",  # as many as the service's pool has connections
    "FORECAST_POLL_SECONDS": "0.05",  # the clock starts when the commands are committed
}


async def measure(stage: Stage) -> list[Result]:
    """Ours against every peer, executions/s of one process."""
    sizes = {"procrastinate": (3_000, 100), "pgqueuer": (20_000, 1_000), "dbos": (300, 30)}
    rounds = {"ours": partial(_ours, stage)} | {
        peer: partial(_peer, stage, peer, stage.size(*size)) for peer, size in sizes.items()
    }
    measured = await stage.in_turns(rounds)
    ours = measured["ours"]["rate"]
    return [compare("noop", peer, "executions/s", ours, measured[peer]["rate"]) for peer in sizes]


async def _ours(stage: Stage) -> Mapping[str, float]:
    count = stage.size(2_000, 40)
    settings = SETTINGS | {"FORECAST_WORKER_EXECUTIONS": str(AT_A_TIME["ours"])}
    async with (
        stage.place() as place,
        observe(place) as observer,
        stage.process(place, module("services.noop"), settings) as process,
    ):
        await process.ready()
        await fill(place.url, queued=WARMING, label="warming-")
        await process.meanwhile(observer.drained(WITHIN))
        await fill(place.url, queued=count)
        started = time.perf_counter()
        await process.meanwhile(observer.drained(WITHIN))
        seconds = time.perf_counter() - started
        await observer.concluded(WARMING + count)
    return {"rate": count / seconds}


async def _peer(stage: Stage, peer: str, count: int) -> Mapping[str, float]:
    """A process that sets itself up, and tells at its end how long the jobs alone took."""
    async with stage.place(template="template0") as place:
        async with stage.process(place, module(f"peers.{peer}", str(count), str(AT_A_TIME[peer]))) as process:
            code = await process.exit_code(within=WITHIN)
        if code:
            raise RuntimeError(process.log[-600:])
        return {"rate": count / json.loads(process.lines[-1])["seconds"]}
