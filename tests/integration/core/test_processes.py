from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest
import pytest_asyncio

from consumer import processes
from consumer.errors import TransientError
from consumer.processes import ProcessCompute
from tests.integration.core import model_work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def compute() -> AsyncIterator[ProcessCompute]:
    """One pool for the module, without models; its processes are started once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "_start_process", model_work.start)
        async with ProcessCompute(1, 30.0) as pool:
            await pool.run(model_work.double, 1)
            yield pool


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def gone(pid: int, seconds: float) -> bool:
    """Whether a process ends within some time."""
    process = psutil.Process(pid) if psutil.pid_exists(pid) else None
    if process is None:
        return True
    _, alive = await asyncio.to_thread(psutil.wait_procs, [process], seconds)
    return not alive or alive[0].status() == psutil.STATUS_ZOMBIE


async def hanging(compute: ProcessCompute, path: Path) -> tuple[asyncio.Task[None], int]:
    """A task whose model process hangs, and the process's id."""
    task = asyncio.create_task(compute.run(model_work.sleep_and_tell, str(path)))
    async with asyncio.timeout(20):
        while not path.exists():
            await asyncio.sleep(0.01)
    return task, int(path.read_text())


async def test_result_comes_back(compute: ProcessCompute) -> None:
    """A function runs in another process and its result, or its own exception, comes back."""
    assert await compute.run(model_work.double, 21) == 42
    assert await compute.run(model_work.pid_of, None) != os.getpid()
    with pytest.raises(ValueError, match="odd"):
        await compute.run(model_work.raise_value_error, "odd")


async def test_crash_costs_its_own_call_alone(compute: ProcessCompute) -> None:
    """A process that ends itself or is killed in the middle is a TransientError, and the pool goes on."""
    with pytest.raises(TransientError, match="exit code 3"):
        await compute.run(model_work.crash, 3)
    with pytest.raises(TransientError, match="exit code -9"):
        await compute.run(model_work.kill_itself, None)
    assert await compute.run(model_work.double, 4) == 8


async def test_death_of_an_idle_process_is_survived(compute: ProcessCompute) -> None:
    """A process that is killed while it has nothing to do costs at most one call, not all that follow."""
    pid = await compute.run(model_work.pid_of, None)
    os.kill(pid, signal.SIGKILL)
    assert await gone(pid, 5)
    async with asyncio.timeout(30):
        while True:
            try:
                assert await compute.run(model_work.pid_of, None) != pid
                break
            except TransientError:
                continue


async def test_slow_chunk_is_killed(compute: ProcessCompute, tmp_path: Path) -> None:
    """A call that takes longer than allowed is a TransientError, its process is gone, and the pool goes on."""
    compute._timeout_seconds = 0.2
    try:
        path = tmp_path / "pid"
        with pytest.raises(TransientError, match=r"longer than 0\.2 s"):
            await compute.run(model_work.sleep_and_tell, str(path))
    finally:
        compute._timeout_seconds = 30.0
    assert await gone(int(path.read_text()), 5)
    assert await compute.run(model_work.double, 5) == 10


async def test_cancelling_kills_the_process(compute: ProcessCompute, tmp_path: Path) -> None:
    """Cancelling the call that waits kills the process within 5 s, and the pool goes on."""
    task, pid = await hanging(compute, tmp_path / "pid")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gone(pid, 5)
    assert await compute.run(model_work.double, 6) == 12


async def test_closing_the_pool_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end of the block no process is left, also of a call that was still running; the call ends too."""
    monkeypatch.setattr(processes, "_start_process", model_work.start)
    async with ProcessCompute(1, 30.0) as pool:
        task, pid = await hanging(pool, tmp_path / "pid")
        task.cancel()
    assert await gone(pid, 5)
    await asyncio.wait({task}, timeout=5)
    assert task.done()


async def test_closed_pool_says_how_to_open_it() -> None:
    """Use without ``async with`` is a mistake of the caller, said in words."""
    with pytest.raises(RuntimeError, match="async with"):
        await ProcessCompute(1, 1.0).run(model_work.double, 1)


PARENT = """
import asyncio, sys
from consumer import processes
from tests.integration.core import model_work

processes.warm_up = model_work.start

async def main():
    async with processes.ProcessCompute(1, 60.0) as pool:
        print(await pool.run(model_work.pid_of, None), flush=True)
        await pool.run(model_work.sleep_and_tell, sys.argv[1])

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
async def test_model_process_dies_with_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the service is killed with SIGKILL its model processes do not live on, even in the middle of a model."""
    script, path = tmp_path / "parent.py", tmp_path / "pid"
    script.write_text(PARENT)
    root = str(tmp_path.parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.getcwd(), root]))  # noqa: PTH109
    parent = subprocess.Popen([sys.executable, str(script), str(path)], stdout=subprocess.PIPE, text=True)
    try:
        async with asyncio.timeout(30):
            while not path.exists():
                assert parent.poll() is None
                await asyncio.sleep(0.02)
        child = int(path.read_text())
        assert psutil.Process(child).is_running()
        parent.kill()
        assert await gone(child, 5)
    finally:
        parent.kill()
        await asyncio.to_thread(parent.wait)
        assert parent.stdout is not None
        parent.stdout.close()
