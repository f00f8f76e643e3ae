"""A small process beside a server, that ends the server when its owner dies without having done so."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    import signal
    from pathlib import Path

# "done" means that the server was stopped properly; a closed pipe or another parent means that the owner is gone,
# however it died: its children may still hold the pipe. A stopped (SIGSTOP) server acts on a signal only once it
# continues.
_SCRIPT: Final = """
import os, select, signal, shutil, sys, time
owner, server, first, directory = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
def alive():
    try:
        os.kill(server, 0)
    except OSError:
        return False
    return True
while os.getppid() == owner:
    if select.select([0], [], [], 0.5)[0]:
        if os.read(0, 4) == b"done":
            sys.exit()
        break
for number in (first, signal.SIGKILL):
    try:
        os.kill(server, number)
        os.kill(server, signal.SIGCONT)
    except OSError:
        break
    deadline = time.monotonic() + 5
    while alive() and time.monotonic() < deadline:
        time.sleep(0.05)
if directory:
    shutil.rmtree(directory, ignore_errors=True)
"""


class Guard:
    """Watches this process on behalf of one server.

    It outlives a SIGKILL of its owner by the moment that it takes to end the server.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @classmethod
    def over(cls, server_pid: int, *, first_signal: signal.Signals, remove: Path | None) -> Self:
        """Start a guard over a child of this process.

        Args:
            server_pid: The child.
            first_signal: Sent when this process is gone; SIGKILL follows five seconds later.
            remove: A directory of the server to remove then.
        """
        watched = map(str, (os.getpid(), server_pid, int(first_signal), remove or ""))
        return cls(
            subprocess.Popen(  # noqa: S603  our own interpreter and script
                [sys.executable, "-I", "-S", "-c", _SCRIPT, *watched],
                stdin=subprocess.PIPE,
                start_new_session=True,
            )
        )

    def dismiss(self) -> None:
        """The server has ended by its owner's hand: nothing is left to guard."""
        if self._process.stdin is not None:
            # Somebody may have killed the guard: then there is nobody to tell.
            with contextlib.suppress(BrokenPipeError), self._process.stdin as pipe:
                pipe.write(b"done")
        self._process.wait(10)
