from __future__ import annotations

import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from consumer.demo.processes import ServerError, ServerProcess, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVER = "import signal, time; print('ready', flush=True); time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
)
OWNER = """
import pathlib, sys, time
from consumer.demo.processes import ServerProcess
directory = pathlib.Path(sys.argv[1])
server = ServerProcess([sys.executable, "-c", sys.argv[2]], directory / "log", remove_when_orphaned=directory)
server.start(lambda logged: "ready" in logged, within=20)
print(server.pid, flush=True)
time.sleep(600)
"""


def is_ready(logged: str) -> bool:
    return "ready" in logged


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    process = ServerProcess([sys.executable, "-c", SERVER], tmp_path / "log")
    yield process
    process.kill()


def test_stopped_server_is_gone(server: ServerProcess) -> None:
    """A server that was ready is running until it is stopped; stopping twice does no harm."""
    server.start(is_ready, within=20)
    pid = server.pid
    assert server.running
    server.stop()
    server.stop()
    assert not server.running
    assert not psutil.pid_exists(pid)


def test_stubborn_server_is_killed(tmp_path: Path) -> None:
    """A server that ignores the stop signal is killed when its time is over."""
    server = ServerProcess([sys.executable, "-c", STUBBORN], tmp_path / "log")
    server.start(is_ready, within=20)
    pid = server.pid
    server.stop(within=0.1)
    assert not psutil.pid_exists(pid)


def test_paused_server_can_be_resumed_and_stopped(server: ServerProcess) -> None:
    """SIGSTOP freezes the server, SIGCONT lets it go on, and even a frozen one is stopped in good order."""
    server.start(is_ready, within=20)
    process = psutil.Process(server.pid)
    server.pause()
    assert process.status() == psutil.STATUS_STOPPED
    server.resume()
    assert process.status() != psutil.STATUS_STOPPED
    server.pause()
    server.stop()
    assert not process.is_running()


def test_server_that_ends_at_once_is_reported_with_its_log(tmp_path: Path) -> None:
    """The error of a server that does not start ends with what the server said."""
    server = ServerProcess([sys.executable, "-c", "print('no such disk')"], tmp_path / "log")
    with pytest.raises(ServerError, match=r"ended at once(?s:.*)no such disk"):
        server.start(lambda _: False, within=20)
    assert not server.running


def test_server_that_is_never_ready_is_killed(server: ServerProcess) -> None:
    """A server that is not ready in time is not left running."""
    with pytest.raises(ServerError, match="not ready in time"):
        server.start(lambda _: False, within=0.2)
    assert not server.running


def test_second_start_waits_for_its_own_log(server: ServerProcess) -> None:
    """After a kill the server counts as ready only by what it has logged since."""
    server.start(is_ready, within=20)
    server.kill()
    server.start(lambda logged: logged.count("ready") == 1, within=20)
    assert server.running


def test_server_dies_with_a_killed_owner(tmp_path: Path) -> None:
    """When the owner is killed (kill -9), its server and the server's directory are gone soon after."""
    directory = tmp_path / "server"
    directory.mkdir()
    command = [sys.executable, "-c", OWNER, str(directory), SERVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        server = psutil.Process(int(owner.stdout.readline()))
        guard = next(child for child in psutil.Process(owner.pid).children() if child.pid != server.pid)
        owner.send_signal(signal.SIGKILL)
        gone, _ = psutil.wait_procs([guard], timeout=20)
    assert gone
    assert not server.is_running()
    assert not directory.exists()


def test_free_port_is_free_and_not_ephemeral() -> None:
    """A free port can be bound, and no outgoing connection of this machine takes it."""
    port = free_port()
    assert port < 32_768
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))
