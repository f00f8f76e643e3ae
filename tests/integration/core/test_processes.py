from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
import pytest_asyncio

from consumer import processes
from consumer.errors import TransientError
from consumer.processes import ProcessCompute
from tests.integration.core import model_work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pebble import ProcessPool


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def compute() -> AsyncIterator[ProcessCompute]:
    """One pool for the module, without models; its processes are started once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "_start_process", model_work.start)
        async with ProcessCompute(1, 30.0) as pool:
            await pool.run(model_work.double, 1)
            yield pool


pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(sys.platform != "linux", reason="watches processes as Linux lets one"),
]


async def gone(pid: int, seconds: float) -> bool:
    """Whether a process ends within some time; its exit status is left to its parent."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(descriptor, ended.set)
    try:
        async with asyncio.timeout(seconds):
            await ended.wait()
    except TimeoutError:
        return False
    finally:
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)
    return True


def told_pid(path: Path) -> int:
    """What ``sleep_and_tell`` wrote, once it has."""
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline, "the model process did not start"
        time.sleep(0.01)
    return int(path.read_text())


async def hanging(compute: ProcessCompute, path: Path) -> tuple[asyncio.Task[None], int]:
    """A task whose model process hangs, and the process's id."""
    task = asyncio.create_task(compute.run(model_work.sleep_and_tell, str(path)))
    return task, await asyncio.to_thread(told_pid, path)


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


async def test_calls_that_wait_end_with_their_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the only process is killed before it reads a request, all calls that wait end within seconds."""
    monkeypatch.setattr(processes, "_start_process", model_work.start)
    async with ProcessCompute(1, 30.0) as pool, asyncio.timeout(30):
        pid = await pool.run(model_work.pid_of, None)
        os.kill(pid, signal.SIGSTOP)
        await asyncio.to_thread(os.waitid, os.P_PID, pid, os.WSTOPPED)
        # The first request fills the pipe, so that pebble does not come to the others.
        calls = [asyncio.create_task(pool.run(model_work.pid_of, b"x" * 1_000_000)) for _ in range(3)]
        await asyncio.sleep(0)  # each has submitted its request
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(10):
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [TransientError] * 3
        assert await pool.run(model_work.double, 4) == 8


async def test_answer_that_comes_as_the_pool_ends_is_taken() -> None:
    """An answer that pebble gives in the moment in which its pool breaks is not lost."""

    class BreakingPool:
        @property
        def active(self) -> bool:
            future.set_result(8)
            return False

    future: Future[int] = Future()
    assert await processes._while_active(cast("ProcessPool", BreakingPool()), asyncio.wrap_future(future)) == 8


async def test_slow_chunk_is_killed(compute: ProcessCompute, tmp_path: Path) -> None:
    """A call that takes longer than allowed is a TransientError, its process is gone, and the pool goes on."""
    compute._timeout_seconds = 0.2
    try:
        path = tmp_path / "pid"
        with pytest.raises(TransientError, match=r"longer than 0\.2 s"):
            await compute.run(model_work.sleep_and_tell, str(path))
    finally:
        compute._timeout_seconds = 30.0
    assert await gone(told_pid(path), 5)
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


async def test_native_code_does_not_delay_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes in the middle of one long call of native code are gone as soon as the pool is closed."""
    monkeypatch.setattr(processes, "_start_process", model_work.start_in_haste)
    paths = [tmp_path / str(number) for number in range(3)]
    async with ProcessCompute(3, 30.0) as pool:
        tasks = [asyncio.create_task(pool.run(model_work.compute_and_tell, str(path))) for path in paths]
        pids = [await asyncio.to_thread(told_pid, path) for path in paths]
        begun = time.monotonic()
    assert time.monotonic() - begun < 2  # pebble alone would take three seconds for each
    assert all([await gone(pid, 1) for pid in pids])
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=5)


async def test_process_that_dies_with_the_pipe_locked_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    """When a process is killed while it holds the pipe that all share, calls fail for a while and then succeed."""
    monkeypatch.setattr(processes, "_start_process", model_work.start_in_haste)
    async with ProcessCompute(2, 30.0) as pool, asyncio.timeout(60):
        with pytest.raises(TransientError):
            await pool.run(model_work.die_holding_the_pipe, None)
        while True:
            try:
                assert await pool.run(model_work.double, 2) == 4
                break
            except TransientError:
                continue


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
        await pool.run(model_work.sleep_and_tell, sys.argv[1])

if __name__ == "__main__":
    asyncio.run(main())
"""


async def test_model_process_dies_with_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the service is killed with SIGKILL its model processes do not live on, even in the middle of a model."""
    script, path = tmp_path / "parent.py", tmp_path / "pid"
    script.write_text(PARENT)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    parent = await asyncio.create_subprocess_exec(sys.executable, str(script), str(path))
    try:
        child = await asyncio.to_thread(told_pid, path)
        assert not await gone(child, 0)
        parent.kill()
        assert await gone(child, 5)
    finally:
        if parent.returncode is None:
            parent.kill()
        await parent.wait()
