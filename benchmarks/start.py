"""``start_help`` and ``start_run``: how long a person waits for the help, and an operator until ready."""

from __future__ import annotations

import asyncio
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.measure import Result, compare
from benchmarks.stage import Stage, module

if TYPE_CHECKING:
    from collections.abc import Mapping

HELP: Final = (str(Path(sys.executable).parent / "forecast-consumer"), "--help")
NOTHING: Final = (sys.executable, "-c", "pass")
READY: Final = "ready"


async def measure(stage: Stage) -> list[Result]:
    """Seconds; the ratio is of the whole times, the goals are about their difference."""
    helped = await stage.in_turns({"ours": partial(_run, HELP), "python": partial(_run, NOTHING)})
    started = await stage.in_turns({"ours": partial(_ours, stage), "aiokafka": partial(_aiokafka, stage)})
    return [
        compare("start_help", "python", "s", helped["ours"]["seconds"], helped["python"]["seconds"]),
        compare("start_run", "aiokafka", "s", started["ours"]["seconds"], started["aiokafka"]["seconds"]),
    ]


async def _run(command: tuple[str, ...]) -> Mapping[str, float]:
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    code = await process.wait()
    seconds = time.perf_counter() - started
    if code:
        raise RuntimeError(f"{' '.join(command)} ended with {code}")
    return {"seconds": seconds}


async def _ours(stage: Stage) -> Mapping[str, float]:
    async with stage.place() as place:
        started = time.perf_counter()
        async with stage.process(place) as process:
            await process.ready()
            return {"seconds": time.perf_counter() - started}


async def _aiokafka(stage: Stage) -> Mapping[str, float]:
    async with stage.place() as place:
        started = time.perf_counter()
        async with stage.process(place, module("peers.aiokafka")) as process:
            await process.until(lambda: READY in process.log, READY)
            return {"seconds": time.perf_counter() - started}
