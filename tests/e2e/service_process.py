"""The service as an operating-system process of its own: started, watched by its log lines, ended by its own pid."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from pathlib import Path

Found = TypeVar("Found")

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
COMMAND = (sys.executable, "-m", "consumer", "run")


class ServiceProcess:
    """One ``forecast-consumer run``; a process may be started again after it has ended, its log goes on.

    Args:
        settings: ``FORECAST_…`` variables; those of the test's own environment do not reach the process.
        directory: Its working directory, without a ``.env``.
    """

    def __init__(self, settings: Mapping[str, str], directory: Path, command: Sequence[str] = COMMAND) -> None:
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("FORECAST_")}
        self._environment |= settings
        self._directory = directory
        self.command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._news = asyncio.Event()
        self._ended = asyncio.Event()
        self._first = 0
        self.lines: list[str] = []

    @property
    def pid(self) -> int:
        assert self._process is not None, "the service was not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """Everything on stdout and stderr since the last start."""
        return "\n".join(self.lines[self._first :])

    def start(self) -> None:
        """Start the process, and return at once."""
        assert not self.running, "it runs already"
        self._first = len(self.lines)
        self._ended.clear()
        self._process = subprocess.Popen(
            list(self.command),
            cwd=self._directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509  one system call, nothing that another thread could hold
        )
        # A thread, because a pipe that a busy test does not empty would stop the service's event loop.
        self._reader = threading.Thread(target=self._read, args=(self._process, asyncio.get_running_loop()))
        self._reader.daemon = True
        self._reader.start()

    async def ready(self, within: float = 60.0) -> None:
        """Wait until ``/readyz`` agrees that the service works, and intake (if it has one) reads its partitions."""
        roles = (await self.logged("service_started", within))["roles"]
        if "intake" in roles:
            await self.logged("partitions_assigned", within)
        answer = await self.get("/readyz")
        assert answer.status_code == httpx.codes.OK, answer.text

    async def get(self, path: str) -> httpx.Response:
        """Ask the admin port."""
        address = (await self.logged("admin_port_open"))["address"]
        async with httpx.AsyncClient(timeout=10) as client:
            return await client.get(f"http://{address}{path}")

    def terminate(self) -> None:
        """SIGTERM."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: the process and, by the kernel's hand, its model processes are gone."""
        self._send(signal.SIGKILL)

    async def exit_code(self, within: float = 30.0) -> int:
        """Wait for the end; its log is complete then."""
        assert self._process is not None
        assert self._reader is not None
        code = await asyncio.to_thread(self._process.wait, within)
        await asyncio.to_thread(self._reader.join, 5.0)
        await asyncio.sleep(0)  # the reader's last lines are handed over by the event loop
        return code

    async def stop(self, within: float = 30.0) -> int:
        """SIGTERM, and the exit code."""
        self.terminate()
        return await self.exit_code(within)

    async def close(self) -> None:
        """End it whatever it does."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self.exit_code()

    def events(self, name: str) -> list[dict[str, Any]]:
        """Log lines of one event since the last start."""
        parsed = (json.loads(line) for line in self.lines[self._first :] if f'"{name}"' in line)
        return [line for line in parsed if line.get("event") == name]

    async def logged(self, name: str, within: float = 60.0) -> dict[str, Any]:
        """Wait for the first log line of an event."""
        return (await self.until(lambda: self.events(name), f"log line {name}", within))[0]

    async def until(self, condition: Callable[[], Found], what: str, within: float = 60.0) -> Found:
        """Look at the log after each new line until ``condition`` gives something; fail if the process ends first."""
        deadline = time.monotonic() + within
        while not (found := condition()):
            left = deadline - time.monotonic()
            assert left > 0, f"no {what} within {within:g} s"
            assert self.running, f"the service ended before {what}"
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), left)
        return found

    async def meanwhile(self, work: Coroutine[Any, Any, Found]) -> Found:
        """Await something that needs the service; fail at once if the process ends first."""
        task = asyncio.create_task(work)
        ended = asyncio.create_task(self._ended.wait())
        try:
            await asyncio.wait({task, ended}, return_when=asyncio.FIRST_COMPLETED)
            assert task.done(), f"the service ended meanwhile:\n{self.log[-3000:]}"
            return task.result()
        finally:
            task.cancel()
            ended.cancel()

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None, "the service was not started"
        self._process.send_signal(number)

    def _read(self, process: subprocess.Popen[bytes], loop: asyncio.AbstractEventLoop) -> None:
        assert process.stdout is not None
        with process.stdout as output, contextlib.suppress(RuntimeError):  # the loop of a test that is over
            for line in output:
                loop.call_soon_threadsafe(self._arrived, line.decode(errors="replace").rstrip("\n"))
            loop.call_soon_threadsafe(self._news.set)
            loop.call_soon_threadsafe(self._ended.set)

    def _arrived(self, line: str) -> None:
        self.lines.append(line)
        self._news.set()


def _die_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
