from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from consumer import idle_memory
from consumer.errors import StartupError
from consumer.exit_codes import ExitCode
from consumer.health import ServiceHealth
from consumer.http.admin import application, bind, serve
from consumer.service import STALE_SECONDS, Roles, Service, Timing
from consumer.signals import leave_tasks_behind, stop_on_signals
from consumer.telemetry.loop_lag import LoopLagMeter
from consumer.telemetry.metrics import Metrics
from tests.fakes import CapturedLog, ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable


class FakeRole:
    """Stands for intake, worker or relay: runs until told, and writes down when it ended."""

    def __init__(
        self, name: str, ended: list[str], *, after: Callable[[], None] | None = None, stuck: bool = False
    ) -> None:
        self.name, self._ended, self._after, self._stuck = name, ended, after, stuck
        self.last_poll = self.last_round = 0.0

    async def run(self, stopping: asyncio.Event) -> None:
        try:
            await stopping.wait()
            if self._stuck:
                await asyncio.Event().wait()
            await asyncio.sleep(0)
        finally:
            self._ended.append(self.name)
        if self._after is not None:
            self._after()

    async def keep_leases(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self._ended.append("heartbeat")


class Bench:
    def __init__(self, roles: dict[str, FakeRole] | None = None, *, grace: float = 10.0) -> None:
        self.stopping, self.clock, self.log = asyncio.Event(), ManualClock(), CapturedLog()
        meter = LoopLagMeter(self.clock, lambda _: None, 1.0, self.log.log)
        typed: dict[str, Any] = dict(roles or {})
        self.service = Service(Roles(**typed), self.stopping, meter, Timing(grace), self.clock, self.log.log)


def three(ended: list[str], **relay: Any) -> dict[str, FakeRole]:
    named = {name: FakeRole(name, ended) for name in ("intake", "worker")}
    return {**named, "relay": FakeRole("relay", ended, **relay)}


async def stop(bench: Bench) -> ExitCode:
    bench.stopping.set()
    async with asyncio.timeout(10):
        return await bench.service.run()


async def test_roles_stop_in_order() -> None:
    """Intake and worker end first, then the relay flushes, and the leases are kept until the worker has ended."""
    ended: list[str] = []
    assert await stop(Bench(three(ended))) is ExitCode.OK
    assert set(ended[:2]) == {"intake", "worker"}
    assert ended[2:] == ["relay", "heartbeat"]


async def test_memory_is_looked_after_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its roles, a process gives freed memory back while it runs."""
    monkeypatch.setattr(idle_memory, "LOOK_SECONDS", 0.0)
    bench, given = Bench(), asyncio.Event()
    seconds = iter((0.0, idle_memory.WORTH_SECONDS))
    worked = idle_memory.WORTH_SECONDS
    bench.service._roles.memory = idle_memory.IdleMemory(lambda: next(seconds, worked), given.set)
    running = asyncio.create_task(bench.service.run())
    async with asyncio.timeout(10):
        await given.wait()
        bench.stopping.set()
        assert await running is ExitCode.OK


async def test_role_that_does_not_end_is_cancelled_after_its_share_of_the_grace() -> None:
    """A worker that hangs is cancelled in time for the relay to flush."""
    ended: list[str] = []
    roles = three(ended) | {"worker": FakeRole("worker", ended, stuck=True)}
    assert await stop(Bench(roles, grace=0.1)) is ExitCode.OK
    assert ended == ["intake", "worker", "relay", "heartbeat"]


async def test_role_that_ends_by_itself_ends_the_service() -> None:
    """A role that fails takes the process down in good order, with exit code 1 and a log line."""
    ended: list[str] = []
    bench = Bench(three(ended))

    async def fail(_: asyncio.Event) -> None:
        raise ZeroDivisionError

    bench.service._roles.intake.run = fail  # type: ignore[method-assign, union-attr]  # a failing role
    async with asyncio.timeout(10):
        assert await bench.service.run() is ExitCode.FAILED
    assert (bench.log.entries[0]["event"], bench.log.entries[0]["role"]) == ("role_failed", "intake")
    assert "relay" in ended


async def test_role_that_obeys_at_once_has_not_failed() -> None:
    """A role that ends in the very moment of the signal, before the service looks, does not make the exit code 1."""
    bench = Bench({"intake": FakeRole("intake", [])})

    async def obey(stopping: asyncio.Event) -> None:
        await stopping.wait()

    bench.service._roles.intake.run = obey  # type: ignore[method-assign, union-attr]  # a quick role
    running = asyncio.create_task(bench.service.run())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    bench.stopping.set()
    async with asyncio.timeout(10):
        assert await running is ExitCode.OK
    assert "role_failed" not in bench.log.names


async def test_silence_makes_the_service_not_ready() -> None:
    """Without a poll or a relay round for too long, and while it stops, the service is not ready, but alive."""
    bench = Bench({name: role for name, role in three([]).items() if name != "worker"})
    assert bench.service.problems() == {}
    bench.clock.seconds = STALE_SECONDS + 5
    assert set(bench.service.problems()) == {"intake", "relay"}
    assert "65 s" in bench.service.problems()["intake"]
    assert bench.service.dead_roles() == {}
    bench.stopping.set()
    assert "service" in bench.service.problems()


class StaticHealth:
    def __init__(self, alive: dict[str, str], ready: dict[str, str]) -> None:
        self._alive, self._ready = alive, ready

    def alive(self) -> dict[str, str]:
        return self._alive

    def ready(self) -> dict[str, str]:
        return self._ready


async def ask(health: Any, path: str) -> httpx.Response:
    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    metrics = Metrics()
    metrics.published.inc(3)
    async with serve(listener, application(health, metrics)), httpx.AsyncClient() as client:
        return await client.get(f"http://127.0.0.1:{port}{path}", timeout=5)


@pytest.mark.parametrize(
    ("path", "alive", "ready", "code"),
    [
        ("/livez", {}, {"intake": "late"}, 200),
        ("/livez", {"worker": "ended"}, {}, 503),
        ("/readyz", {}, {}, 200),
        ("/readyz", {}, {"service": "stopping"}, 503),
    ],
)
async def test_health_answers_name_the_problems(
    path: str, alive: dict[str, str], ready: dict[str, str], code: int
) -> None:
    """200 while all is well, 503 with what is wrong: alive and ready are different questions."""
    answer = await ask(StaticHealth(alive, ready), path)
    problems = alive if path == "/livez" else ready
    assert (answer.status_code, answer.json()["problems"]) == (code, problems)


async def test_metrics_are_exposed_for_prometheus() -> None:
    """``/metrics`` speaks Prometheus' text format."""
    answer = await ask(StaticHealth({}, {}), "/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert "forecast_published_total 3.0" in answer.text


async def test_service_that_is_still_starting_is_alive_and_not_ready() -> None:
    """Before database and broker answer the port says alive, not ready, and why."""
    health = ServiceHealth()
    assert (await ask(health, "/livez")).status_code == 200
    answer = await ask(health, "/readyz")
    assert (answer.status_code, "starting" in answer.text) == (503, True)
    health.service = Bench().service
    assert (await ask(health, "/readyz")).status_code == 200


def test_busy_admin_port_is_one_clear_line() -> None:
    """A port that somebody else has, even if he does not serve yet, stops the start with a hint and its exit code."""
    first = bind("127.0.0.1", 0)
    port = first.getsockname()[1]
    with pytest.raises(StartupError, match=rf"127\.0\.0\.1:{port}.*FORECAST_ADMIN_PORT") as caught:
        bind("127.0.0.1", port)
    assert caught.value.exit_code == ExitCode.ADMIN_PORT
    first.close()


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "x" * 70])
def test_admin_host_that_is_not_ours_is_named(host: str) -> None:
    """An address of another machine, or a name that is none, is the host's fault: another port would not help."""
    with pytest.raises(StartupError, match=rf"admin host '{host}' .*; set FORECAST_ADMIN_HOST") as caught:
        bind(host, 0)
    assert caught.value.exit_code == ExitCode.ADMIN_PORT
    assert "FORECAST_ADMIN_PORT" not in str(caught.value)


async def test_port_is_free_after_the_service() -> None:
    """The listener is closed with its server, and the port can be taken again."""
    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    async with serve(listener, application(StaticHealth({}, {}), Metrics())):
        pass
    bind("127.0.0.1", port).close()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signals_become_an_event(number: signal.Signals) -> None:
    """SIGTERM and SIGINT set the event, once or twice; who is still there after the time is ended, block or not."""
    forced: list[int] = []
    with stop_on_signals(0.2, forced.append) as stopping:
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        async with asyncio.timeout(5):
            await stopping.wait()
    async with asyncio.timeout(5):
        while not forced:  # noqa: ASYNC110  a thread does it
            await asyncio.sleep(0.01)
    assert forced == [ExitCode.STUCK]


HANGING = """
import asyncio, os, signal, time
from consumer.signals import stop_on_signals

async def main():
    with stop_on_signals(0.2) as stopping:
        os.kill(os.getpid(), signal.SIGTERM)
        await stopping.wait()
        time.sleep(60)  # not even the event loop turns any more

asyncio.run(main())
"""


def test_process_that_hangs_while_closing_is_ended_by_force() -> None:
    """When closing does not end in time a thread ends the process, with an exit code of its own."""
    done = subprocess.run([sys.executable, "-c", HANGING], timeout=20, check=False)
    assert done.returncode == ExitCode.STUCK


async def test_loop_lag_is_measured_and_told() -> None:
    """The meter reports how late the loop was, keeps the worst and warns above the threshold."""
    clock, log = ManualClock(), CapturedLog()
    seen: list[float] = []
    meter = LoopLagMeter(clock, seen.append, 0.1, log.log)

    async def late() -> None:
        clock.seconds += 0.35

    task = asyncio.create_task(late())
    lag = await meter.run_once()
    await task
    assert lag == pytest.approx(0.3)
    assert (meter.worst, seen, log.names) == (lag, [lag], ["event_loop_late"])


async def test_tasks_that_cannot_be_cancelled_do_not_delay_the_end() -> None:
    """Tasks that unwind are waited for; with one that does not, the process leaves with the code that it has earned."""
    left: list[int] = []
    done = asyncio.Event()

    async def stubborn() -> None:
        while not done.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await done.wait()

    quick = asyncio.create_task(asyncio.sleep(60))
    await asyncio.sleep(0)
    await leave_tasks_behind(ExitCode.OK, left.append)
    assert (quick.cancelled(), left) == (True, [])
    clinging = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    await leave_tasks_behind(ExitCode.FAILED, left.append)
    assert left == [ExitCode.FAILED]
    done.set()
    await clinging
