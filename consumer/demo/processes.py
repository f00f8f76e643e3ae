"""Servers as child processes: found by their own handle only, and never left behind."""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Final

import psutil

from consumer.demo.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

# Below the range from which the kernel takes the ports of outgoing connections: a client that reconnects to a
# server that is down could otherwise connect to itself, and the server would find its port taken at its restart.
_PORTS: Final = range(20_000, 32_000)
_FREEZE_SECONDS: Final = 2.0


class ServerError(RuntimeError):
    """A server did not start or stop; the message ends with the last lines of its log."""


@dataclass(frozen=True, slots=True)
class User:
    """The system user that a server runs as; None everywhere means the caller's own."""

    name: str | None = None
    uid: int | None = None
    gid: int | None = None


@dataclass(slots=True)
class ServerProcess:
    """A running server, its log, and a guard process that ends it when the owner dies without stopping it.

    Attributes:
        log: Where stdout and stderr go, appended.
        stop_signal: Ends the server in good order.
        orphan_signal: What the guard sends first, before SIGKILL, when the owner is gone.
        remove_when_orphaned: A directory of the server that the guard removes then.
    """

    arguments: Sequence[str]
    log: Path
    user: User = field(default_factory=User)
    environment: dict[str, str] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    orphan_signal: signal.Signals = signal.SIGTERM
    remove_when_orphaned: Path | None = None
    _server: subprocess.Popen[bytes] | None = None
    _guard: Guard | None = None

    @property
    def pid(self) -> int:
        """Process id of the running server.

        Raises:
            ServerError: It is not running.
        """
        if self._server is None:
            raise ServerError(f"{self.arguments[0]} is not running")
        return self._server.pid

    @property
    def running(self) -> bool:
        """Whether the server was started and has not ended."""
        return self._server is not None and self._server.poll() is None

    def start(self, ready: Callable[[str], bool], *, within: float) -> None:
        """Start the server and wait until ``ready`` accepts what it has logged since.

        Raises:
            ServerError: It ended or was not ready ``within`` seconds; nothing is left running.
        """
        if self.running:
            return
        offset = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._spawn(log)
        deadline = time.monotonic() + within
        while not ready(self._logged(offset)):
            ended = not self.running
            if ended or time.monotonic() > deadline:
                how = "ended at once" if ended else "was not ready in time"
                self.kill()
                raise ServerError(f"{self.arguments[0]} {how}. Its log, {self.log}, ends:\n{self.log_tail()}")
            time.sleep(0.02)

    def stop(self, *, within: float = 15.0) -> None:
        """Stop in good order; kill what has not ended ``within`` seconds. Does nothing when it is not running."""
        if self._server is None:
            return
        if self.running:
            self._server.send_signal(self.stop_signal)
            self.resume()
            try:
                self._server.wait(within)
            except subprocess.TimeoutExpired:
                self._server.kill()
        self._reap()

    def kill(self) -> None:
        """SIGKILL, as a crash would have it; children that the server left die with it."""
        if self._server is None:
            return
        children = self._children()
        self._server.kill()
        for child in children:
            _signal(child, signal.SIGCONT)
        self._reap()
        _, alive = psutil.wait_procs(children, timeout=1)
        for child in alive:
            _signal(child, signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP to the server and its children: frozen when this returns, its connections stay open."""
        frozen = [psutil.Process(self.pid), *self._children()]
        for process in frozen:
            _signal(process, signal.SIGSTOP)
        deadline = time.monotonic() + _FREEZE_SECONDS
        while time.monotonic() < deadline and any(_runs(process) for process in frozen):
            time.sleep(0.005)

    def resume(self) -> None:
        """SIGCONT to the server and its children."""
        for process in [*self._children(), psutil.Process(self.pid)]:
            _signal(process, signal.SIGCONT)

    def log_tail(self, lines: int = 30) -> str:
        """The last lines of the log."""
        return "\n".join(self._logged(0).splitlines()[-lines:])

    def _spawn(self, log: IO[bytes]) -> None:
        self._server = subprocess.Popen(  # noqa: S603  our own argument list, no shell
            self.arguments,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=self.environment,
            user=self.user.uid,
            group=self.user.gid,
            extra_groups=None if self.user.gid is None else [],
            start_new_session=True,  # Ctrl-C in the terminal stops the owner, and the owner stops the server
        )
        self._guard = Guard.over(self._server.pid, first_signal=self.orphan_signal, remove=self.remove_when_orphaned)

    def _reap(self) -> None:
        if self._server is not None:
            self._server.wait(10)
            self._server = None
        if self._guard is not None:
            self._guard.dismiss()
            self._guard = None

    def _children(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def _logged(self, offset: int) -> str:
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(offset)
            return log.read().decode(errors="replace")


def free_port() -> int:
    """A TCP port of the loopback interface that nothing listens on, outside the kernel's ephemeral range.

    Raises:
        ServerError: A hundred tries found none.
    """
    for port in random.Random().sample(_PORTS, 100):  # noqa: S311  spread over parallel runs, no secret
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServerError("no free TCP port between 20000 and 32000 on 127.0.0.1")


def _runs(process: psutil.Process) -> bool:
    """Whether it may still answer: on a busy machine a signal takes its time to stop all threads."""
    try:
        return bool(process.status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD))
    except psutil.NoSuchProcess:
        return False


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)
