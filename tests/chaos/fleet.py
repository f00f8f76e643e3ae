"""The processes of the service, and what starts them again when they end, as a supervisor would."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psutil

from consumer.failpoints import VARIABLE
from tests.e2e.service_process import _die_with_parent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.chaos.history import History

COMMAND = (sys.executable, "-m", "tests.chaos.nursery")
ROOT = Path(__file__).absolute().parents[2]
RESTART_SECONDS = 0.3
UP = b'"service_started"'
_EVENT = re.compile(rb'"event": "(\w+)"')


@dataclass(slots=True)
class Born:
    """A process of the service, child of the nursery."""

    pid: int
    returncode: int | None = None

    def send_signal(self, number: signal.Signals) -> None:
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


@dataclass(slots=True)
class Nursery:
    """Where processes come from. Use ``async with``; who is still alive at its end dies with it."""

    _process: asyncio.subprocess.Process | None = None
    _reader: asyncio.Task[None] | None = None
    _alive: dict[int, Born] = field(default_factory=dict)
    _waiting: list[asyncio.Future[Born]] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *COMMAND,
            cwd=ROOT,
            env=environment,
            stdin=pipe,
            stdout=pipe,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
        assert self._process.stdout is not None
        assert await asyncio.wait_for(self._process.stdout.readline(), 60), "the nursery did not start"
        self._reader = asyncio.create_task(self._read(self._process.stdout))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        assert self._reader is not None
        self._process.kill()
        await self._process.wait()
        await asyncio.wait({self._reader})

    async def bear(self, environment: Mapping[str, str], log: Path) -> Born:
        assert self._process is not None
        assert self._process.stdin is not None
        born: asyncio.Future[Born] = asyncio.get_running_loop().create_future()
        self._waiting.append(born)
        order = {"environment": dict(environment), "log": str(log)}
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        return await asyncio.wait_for(born, 30)

    async def _read(self, output: asyncio.StreamReader) -> None:
        while line := await output.readline():
            told = json.loads(line)
            if "born" in told:
                born = self._alive[told["born"]] = Born(told["born"])
                self._waiting.pop(0).set_result(born)
            else:
                self._alive.pop(told["ended"]).returncode = told["code"]


@dataclass(slots=True)
class Member:
    """One process; ``lock`` is held by the fault that treats it."""

    name: str
    roles: tuple[str, ...]
    environment: dict[str, str]
    directory: Path
    history: History
    nursery: Nursery
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    held_down: bool = False
    exits: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    wishes: dict[str, str] = field(default_factory=dict)
    _process: Born | None = None
    _birth: asyncio.Lock = field(default_factory=asyncio.Lock)
    _log_start: int = 0
    _failpoint: str = ""

    @property
    def log(self) -> Path:
        return self.directory / f"{self.name}.log"

    @property
    def failpoint_log(self) -> Path:
        return self.directory / f"{self.name}.failpoints"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def is_up(self) -> bool:
        return self.running and UP in self._logged()

    @property
    def failpoint(self) -> str:
        """The one that this life is to end at; empty without one."""
        return self._failpoint if self.running else ""

    @property
    def ended_with(self) -> int | None:
        return None if self._process is None else self._process.returncode

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start it with the wishes for this life (a failpoint, a wrong clock)."""
        async with self._birth:
            await self._start()

    async def revive(self) -> None:
        """Start it, unless somebody else has done so meanwhile or wants it down."""
        async with self._birth:
            if not self.running and not self.held_down:
                await self._start()

    async def _start(self) -> None:
        assert not self.running
        self.starts += 1
        wishes, self.wishes = self.wishes, {}
        self._failpoint = wishes.get(VARIABLE, "").partition(":")[0]
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FORECAST_")}
        environment |= {**self.environment, **wishes, "FORECAST_INSTANCE": f"{self.name}-{self.starts}"}
        self._process = await self.nursery.bear(environment, self.log)
        self.history.write("start", member=self.name, pid=self._process.pid, **wishes)

    async def up(self, within: float) -> bool:
        """Whether it has come up, within so many seconds."""
        return await self.until(lambda: UP in self._logged(), within)

    async def ended(self, within: float) -> int | None:
        """Its exit code, None if it still runs after so many seconds."""
        process = self._process
        if process is None:
            return 0
        await self.until(lambda: process.returncode is not None, within, step=0.03)
        return process.returncode

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    async def kill(self) -> None:
        """SIGKILL; what is frozen dies as well, and what is just being started."""
        async with self._birth:
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
        if self._process is None or self._process.returncode is None:
            return
        code = self._process.returncode
        was_up = UP in self._logged()
        self._process = None
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        self.exits[str(code) if was_up else f"{code} at start"] += 1
        self.history.write("end", member=self.name, code=code)

    def _logged(self) -> bytes:
        if not self.log.exists():
            return b""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read()

    async def until(self, true: object, within: float, step: float = 0.05) -> bool:
        """Whether the condition came true within so many seconds."""
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
            await member.start()
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

    async def disarm(self) -> None:
        """Nobody dies at a failpoint from here on."""
        for member in self.members:
            member.wishes = {}
            if member.failpoint:
                async with member.lock:
                    await member.kill()

    def with_role(self, role: str) -> list[Member]:
        return [member for member in self.members if role in member.roles]

    async def _supervise(self) -> None:
        while True:
            for member in self.members:
                if not member.running:
                    member.seen()
                    await member.revive()
            await asyncio.sleep(RESTART_SECONDS)


def log_events(fleet: Fleet) -> Counter[str]:
    found: Counter[str] = Counter()
    for member in fleet.members:
        found.update(
            event.decode() for event in _EVENT.findall(member.log.read_bytes() if member.log.exists() else b"")
        )
    return found


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
