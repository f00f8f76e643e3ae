"""The service under faults, short and with a fixed seed; ``make chaos`` is the same for as long as asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil
import pytest

from consumer.failpoints import FAILPOINTS
from tests.chaos.run import STORM
from tests.support import kafka_libraries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT: Final = Path(__file__).parents[2]
BUILD: Final = ROOT / "build" / "test"
SEED: Final = 11
SECONDS: Final = 90
PARTS: Final = ("kafka.Kafka", "postgres", "tests.chaos.nursery", "spawn_main")  # spawn_main: a model process
# Start, storm, a minute of patience for what was not reached, drain, stop, verdict: on a machine that does much else.
WHOLE_SECONDS: Final = 540


@pytest.fixture(autouse=True)
def real_kafka() -> None:
    """The rig kills and freezes a broker of its own, which no other kind of broker lets it do."""
    if reason := kafka_libraries.missing():
        pytest.skip(f"the chaos rig needs a Kafka of its own: {reason}")


@asynccontextmanager
async def rig(seconds: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """``make chaos`` as a process, ended with the block."""
    arguments = ["-m", "tests.chaos", "--seconds", str(seconds), "--seed", str(SEED), "--build", str(BUILD)]
    pipe, both = asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, cwd=ROOT, stdout=pipe, stderr=both)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.full_broker
@pytest.mark.timeout(WHOLE_SECONDS + 30)
async def test_all_eight_invariants_hold_under_faults() -> None:
    """Under every sort of fault nothing is lost, doubled or left open, and every failpoint was reached."""
    async with rig(SECONDS) as process:
        told, _ = await asyncio.wait_for(process.communicate(), WHOLE_SECONDS)
    lines = told.decode(errors="replace")
    assert process.returncode == 0, lines
    report = json.loads((BUILD / "chaos.json").read_text())
    assert lines.splitlines()[-1] == report["summary"]
    assert report["summary"].startswith("chaos: 8/8 invariants hold, ")
    assert all(report["failpoints"][name] for name in FAILPOINTS)
    assert report["zombie_writes_refused"]
    assert report["faults"]["total"] >= SECONDS / 2


@pytest.mark.full_broker
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
async def test_an_interrupted_run_leaves_nothing_running(number: signal.Signals) -> None:
    """Servers, processes of the service and their model processes end with the rig, however that ends."""
    async with rig(SECONDS) as process:
        started = await asyncio.wait_for(_in_full_swing(process), 90)
        process.send_signal(number)
        await asyncio.wait_for(process.communicate(), 60)
    _, alive = await asyncio.to_thread(psutil.wait_procs, started, 30)
    assert alive == []


async def _in_full_swing(rig: asyncio.subprocess.Process) -> list[psutil.Process]:
    """Everything that the rig has started when the storm has begun and the first model processes are there."""
    assert rig.stdout is not None
    while STORM.encode() not in (line := await rig.stdout.readline()):
        assert line, "the rig ended before the storm began"
    while True:
        started = psutil.Process(rig.pid).children(recursive=True)
        told = [line for process in started if (line := _command_line(process))]
        if all(any(part in line for line in told) for part in PARTS):
            return started
        assert rig.returncode is None, f"the rig ended with {told}"
        await asyncio.sleep(0.1)


def _command_line(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""
