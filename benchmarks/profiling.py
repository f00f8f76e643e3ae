"""``python -m benchmarks.profiling intake|noop|step_log|stages [COUNT]``: where the time goes, in process and database.

py-spy samples the service's processor time while it works; pg_stat_statements counts what reaches the database.
``step_log`` counts executions and tells what one of their events costs. ``stages`` takes the time of each stage of an
acknowledgement instead, at a hundred commands a second.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from benchmarks.commands import blast
from benchmarks.cpu import server_seconds
from benchmarks.filling import fill
from benchmarks.intake import ROLES
from benchmarks.noop import SETTINGS
from benchmarks.observer import observe
from benchmarks.services.step_log import EVENTS
from benchmarks.stage import SERVICE, module, open_stage, servers
from benchmarks.travel import travel

if TYPE_CHECKING:
    from collections.abc import Iterable

    import asyncpg

    from benchmarks.observer import Observer
    from benchmarks.stage import Place, Stage
    from tests.e2e.service_process import ServiceProcess

WITHIN: Final = 300.0
SAMPLES_A_SECOND: Final = 200
STAGES_RATE: Final = 100
LINES: Final = 45
PRELOAD: Final = {"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track_utility": "on"}
_STATEMENTS: Final = """
    SELECT calls, total_exec_time AS ms, total_exec_time / calls AS each, rows, shared_blks_hit + shared_blks_read,
           wal_bytes, regexp_replace(query, '\\s+', ' ', 'g')
      FROM pg_stat_statements JOIN pg_database AS d ON d.oid = dbid WHERE d.datname = current_database()
     ORDER BY total_exec_time DESC LIMIT 25"""
_FRAME: Final = re.compile(r"^(?P<name>.+) \((?P<file>[^:)]+)(?::\d+)?\)$")


async def stages(count: int) -> None:
    """Print the median and p99 of each stage."""
    with servers() as (postgres, bootstrap_servers, kind):
        async with (
            open_stage(postgres, bootstrap_servers, kind, 1, quick=True) as stage,
            stage.place() as place,
            observe(place) as observer,
            stage.process(place, module("services.stages"), ROLES) as process,
        ):
            await process.meanwhile(observer.assigned())
            async with travel(place, place.topics.status, "ce_causationid") as traveller:
                travelled = await process.meanwhile(traveller.milliseconds(STAGES_RATE, count))
    median, p99 = np.percentile(travelled, (50, 99))
    print(f"{median:8.2f} {p99:8.2f}  ms from produce to PENDENTE (median, p99)")
    for name, times in json.loads(process.lines[-1]).items():
        median, p99 = np.percentile(times, (50, 99))
        print(f"{median:8.2f} {p99:8.2f}  {name}: {len(times)} calls")


async def main(what: str, count: int) -> None:
    """Run the work once under both lenses and print what they saw."""
    with servers(PRELOAD) as (postgres, bootstrap_servers, kind):
        async with open_stage(postgres, bootstrap_servers, kind, 1, quick=True) as stage:
            command, settings = (SERVICE, ROLES) if what == "intake" else (module(f"services.{what}"), SETTINGS)
            async with (
                stage.place() as place,
                observe(place) as observer,
                stage.process(place, command, settings) as process,
            ):
                await observer.database.execute("CREATE EXTENSION pg_stat_statements")
                await process.ready()
                for warming in (True, False):  # connections, prepared statements and imports first
                    stacks = stage.directory / "stacks"
                    spent = process_seconds(process.pid), server_seconds(stage.postgres_pid)
                    await observer.database.execute("SELECT pg_stat_statements_reset()")
                    spy = None if warming else await _spy(process.pid, stacks)
                    await _work(what, stage, place, observer, count, process)
                    if spy is not None:
                        spy.send_signal(2)
                        await spy.wait()
                spent = process_seconds(process.pid) - spent[0], server_seconds(stage.postgres_pid) - spent[1]
                count *= EVENTS if what == "step_log" else 1
                print(f"{count} x {what}: {spent[0] / count * 1000:.3f} ms of the process each,", end=" ")
                print(f"{spent[1] / count * 1000:.3f} ms of the database each")
                _print_statements(await observer.database.fetch(_STATEMENTS), count)
                _print_stacks(stacks.read_text().splitlines())


def process_seconds(pid: int) -> float:
    """Processor time of one process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def _spy(pid: int, stacks: Path) -> asyncio.subprocess.Process:
    spy = str(Path(sys.executable).parent / "py-spy")
    options = ("record", "--pid", str(pid), "--format", "raw", "--output", str(stacks), "--rate", str(SAMPLES_A_SECOND))
    process = await asyncio.create_subprocess_exec(spy, *options, stdout=asyncio.subprocess.DEVNULL)
    await asyncio.sleep(1)  # it reads the process's symbols first
    return process


async def _work(what: str, stage: Stage, place: Place, observer: Observer, count: int, process: ServiceProcess) -> None:
    if what == "intake":
        before = await observer.committed()
        await blast(stage.bootstrap_servers, place.topics.predict, count)
        await process.meanwhile(observer.acknowledged(before + count, WITHIN))
        return
    await observer.database.execute(
        "TRUNCATE forecast_consumer.command, forecast_consumer.chunk, execucao_planejamento CASCADE"
    )
    await fill(place.url, queued=count)
    await process.meanwhile(observer.drained(WITHIN))


def _print_statements(rows: Iterable[asyncpg.Record], count: int) -> None:
    print(f"{'calls each':>10} {'ms each':>8} {'ms a call':>9} {'blocks':>7} {'WAL B':>7}  statement")
    for calls, total, mean, _, blocks, wal, query in rows:
        head = f"{calls / count:10.2f} {total / count:8.3f} {mean:9.3f} {blocks / calls:7.1f} {int(wal) / calls:7.0f}"
        print(f"{head}  {query[:110]}")


def _print_stacks(lines: Iterable[str]) -> None:
    """Share of the samples in which a function was anywhere on the stack, and at its end."""
    inclusive: Counter[str] = Counter()
    own: Counter[str] = Counter()
    total = 0
    for line in lines:
        stack, _, samples = line.rpartition(" ")
        _, in_loop, work = stack.partition("Handle._run ")  # what the event loop runs, not who runs the loop
        if not in_loop:
            continue
        names = [_short(frame) for frame in work.split(";")[1:]] or ["(the loop itself)"]
        total += int(samples)
        own[names[-1]] += int(samples)
        for name in set(names):
            inclusive[name] += int(samples)
    for title, counter in (("anywhere on the stack", inclusive), ("at its end", own)):
        print(f"{title} (% of {total} samples of what the event loop runs)")
        for name, samples in counter.most_common(LINES):
            print(f"{100 * samples / total:6.1f}  {name}")


def _short(frame: str) -> str:
    found = _FRAME.match(frame)
    if found is None:
        return frame
    parts = found["file"].split("/")
    return f"{found['name']} ({'/'.join(parts[-2:])})"


if __name__ == "__main__":
    wanted, number = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1000  # noqa: PLR2004
    asyncio.run(stages(number) if wanted == "stages" else main(wanted, number))
