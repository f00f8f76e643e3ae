"""The processes of the service, and what starts them again when they end, as a supervisor would."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

import psutil

from tests.e2e.service_process import _die_with_parent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.chaos.history import History

COMMAND = (sys.executable, "-m", "tests.chaos.service")
ROOT = Path(__file__).resolve().parents[2]
EXPECTED_EXITS = frozenset({0, -signal.SIGKILL})
RESTART_SECONDS = 0.3
UP = b'"service_started"'


@dataclass(slots=True)
class Member:
    """One process; ``lock`` is held by the fault that treats it."""

    name: str
    roles: tuple[str, ...]
    environment: Mapping[str, str]
    directory: Path
    history: History
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    held_down: bool = False
    exits: Counter[int] = field(default_factory=Counter)
    starts: int = 0
    wishes: dict[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None
    _log_start: int = 0

    @property
    def log(self) -> Path:
        return self.directory / f"{self.name}.log"

    @property
    def failpoint_log(self) -> Path:
        return self.directory / f"{self.name}.failpoints"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it with the wishes for this life (a failpoint, a wrong clock)."""
        assert not self.running
        self.starts += 1
        wishes, self.wishes = self.wishes, {}
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FORECAST_")}
        environment |= {**self.environment, **wishes, "FORECAST_INSTANCE": f"{self.name}-{self.starts}"}
        with self.log.open("ab") as log:
            self._process = _spawn(environment, log)
        self.history.write("start", member=self.name, pid=self._process.pid, **wishes)

    async def up(self, within: float) -> bool:
        """Whether it has come up, within so many seconds."""
        return await self._until(lambda: UP in self._logged(), within)

    async def ended(self, within: float) -> int | None:
        """Its exit code, None if it still runs after so many seconds."""
        process = self._process
        assert process is not None
        await self._until(lambda: process.poll() is not None, within, step=0.03)
        return process.poll()

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def kill(self) -> None:
        """SIGKILL; what is frozen dies as well."""
        self.signal(signal.SIGKILL)
        await self.ended(5)
        self.seen()

    def model_processes(self) -> list[psutil.Process]:
        """Its children that compute, without multiprocessing's helper."""
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(self.pid).children()
            return [child for child in children if "spawn_main" in " ".join(_command_line(child))]
        return []

    def reached(self) -> list[str]:
        """Failpoints that this member has died at."""
        return self.failpoint_log.read_text().split() if self.failpoint_log.exists() else []

    def seen(self) -> None:
        """Note the end of a life, once."""
        if self._process is None or self._process.poll() is None:
            return
        code = self._process.returncode
        self._process = None
        self.exits[code] += 1
        self.history.write("end", member=self.name, code=code)

    def _logged(self) -> bytes:
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read()

    async def _until(self, true: object, within: float, step: float = 0.1) -> bool:
        deadline = time.monotonic() + within
        while not true():  # type: ignore[operator]
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(step)
        return True


@dataclass(slots=True)
class Fleet:
    """All members. Use ``async with``: starts them, keeps them up, kills them at the end."""

    members: list[Member]
    _supervisor: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        for member in self.members:
            member.start()
        self._supervisor = asyncio.create_task(self._supervise())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave_alone()
        for member in self.members:
            await member.kill()

    async def leave_alone(self) -> None:
        """Start nobody any more."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait({self._supervisor})
            self._supervisor = None

    def with_role(self, role: str) -> list[Member]:
        return [member for member in self.members if role in member.roles]

    async def _supervise(self) -> None:
        while True:
            for member in self.members:
                if not member.running:
                    member.seen()
                    if not member.held_down:
                        member.start()
            await asyncio.sleep(RESTART_SECONDS)


def _spawn(environment: dict[str, str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        COMMAND,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=_die_with_parent,  # noqa: PLW1509  one system call, nothing that another thread could hold
    )


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
