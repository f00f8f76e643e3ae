"""One process: its roles as tasks, their health, and an orderly end with every wait bounded."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from consumer.exit_codes import ExitCode
from consumer.idle_memory import IdleMemory
from consumer.watchdog import Watched

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping
    from typing import Any

    from structlog.typing import FilteringBoundLogger

    from consumer.backpressure import Backpressure
    from consumer.clock import Clock
    from consumer.intake_loop import IntakeLoop
    from consumer.late_worker import LateWorker
    from consumer.maintenance import Maintenance
    from consumer.outbox import Relay
    from consumer.telemetry.loop_lag import LoopLagMeter

STALE_SECONDS: Final = 60.0  # without a poll or a relay round, the process is not ready
FLUSH_SECONDS: Final = 4.0  # of the grace, kept for the outbox, but no more than a quarter
CLOSE_SECONDS: Final = 4.0  # likewise, for connections and processes, but no more than a third
FORCE_SECONDS: Final = 1.5  # after the grace, before the process is ended by force


@dataclass(slots=True)
class Roles:
    """What this process does, and what every process does; None for what it leaves to others."""

    intake: IntakeLoop | None = None
    worker: LateWorker | None = None
    relay: Relay | None = None
    backpressure: Backpressure | None = None
    maintenance: Maintenance | None = None
    memory: IdleMemory = field(default_factory=IdleMemory)


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds: from the signal to the end by force, and without a turn until a loop counts as stuck."""

    grace: float
    stuck: float = 120.0


class Service:
    """Runs the roles until told to stop. Owns their tasks, not their resources."""

    def __init__(
        self,
        roles: Roles,
        stopping: asyncio.Event,
        lag: LoopLagMeter,
        timing: Timing,
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        self._roles = roles
        self._lag = lag
        self._grace = timing.grace
        self._stuck = timing.stuck
        self._clock = clock
        self._log = log
        self._relay_stopping = asyncio.Event()
        self.stopping = stopping
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> ExitCode:
        """Run until ``stopping`` is set or a role fails; the exit code says which."""
        self._start()
        stop = asyncio.create_task(self.stopping.wait())
        await asyncio.wait({stop, *self._tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        # A role may obey the signal sooner than we look; only one that broke, or left unasked, has failed.
        asked = self.stopping.is_set()
        ended = {name: task for name, task in self._tasks.items() if task.done()}
        failed = [name for name, task in ended.items() if not asked or task.exception() is not None]
        for name in failed:
            self._log.error("role_failed", role=name, exc_info=self._tasks[name].exception())
        self.stopping.set()
        await self._stop()
        return ExitCode.FAILED if failed else ExitCode.OK

    def watched(self) -> tuple[Watched, ...]:
        """The loops that must turn, for the watchdog."""
        watched = [Watched("event loop", lambda: self._lag.last_turn, self._stuck, ExitCode.LOOP_BLOCKED)]
        intake, relay = self._roles.intake, self._roles.relay
        if intake is not None:
            watched.append(Watched("intake", lambda: intake.last_turn, self._stuck, ExitCode.NO_POLL))
        if relay is not None:
            watched.append(Watched("relay", lambda: relay.last_turn, self._stuck, ExitCode.NO_RELAY))
        return tuple(watched)

    def dead_roles(self) -> dict[str, str]:
        """Roles that ended by themselves."""
        if self.stopping.is_set():
            return {}
        return {name: "ended" for name, task in self._tasks.items() if task.done()}

    def problems(self) -> Mapping[str, str]:
        """What keeps the process from its work."""
        found = self.dead_roles()
        now = self._clock.monotonic()
        if self._roles.intake is not None and now - self._roles.intake.last_poll > STALE_SECONDS:
            found["intake"] = f"no poll for {now - self._roles.intake.last_poll:.0f} s"
        if self._roles.relay is not None and now - self._roles.relay.last_round > STALE_SECONDS:
            found["relay"] = f"no finished round for {now - self._roles.relay.last_round:.0f} s"
        if self.stopping.is_set():
            found["service"] = "stopping"
        return found

    def _start(self) -> None:
        roles = self._roles
        self._spawn("loop lag", self._lag.run())
        self._spawn("memory", roles.memory.run())
        if roles.worker is not None:
            self._spawn("heartbeat", roles.worker.keep_leases())
            self._spawn("worker", roles.worker.run(self.stopping))
        if roles.relay is not None:
            self._spawn("relay", roles.relay.run(self._relay_stopping))
        if roles.maintenance is not None:
            self._spawn("maintenance", roles.maintenance.run(self.stopping))
        if roles.backpressure is not None:
            self._spawn("backpressure", roles.backpressure.run())
        if roles.intake is not None:
            self._spawn("intake", roles.intake.run(self.stopping))

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._tasks[name] = asyncio.create_task(work, name=name)

    async def _stop(self) -> None:
        """Intake and worker first; what they leave in the outbox is published; the rest is cancelled.

        Whatever hangs, some of the grace is left for the next phase, and for who closes our resources.
        """
        flush, close = min(FLUSH_SECONDS, self._grace / 4), min(CLOSE_SECONDS, self._grace / 3)
        self._log.info("stopping", grace_seconds=self._grace)
        await self._let_end(("intake", "worker"), self._grace - flush - close, flush / 2)
        self._relay_stopping.set()
        await self._let_end(("relay",), flush / 2, flush / 4)
        await self._let_end(tuple(self._tasks), 0.0, flush / 4)

    async def _let_end(self, names: tuple[str, ...], seconds: float, unwind_seconds: float) -> None:
        """Wait for tasks, then cancel what has not ended and wait for that."""
        tasks = {self._tasks[name] for name in names if name in self._tasks and not self._tasks[name].done()}
        if tasks and seconds:
            _, tasks = await asyncio.wait(tasks, timeout=seconds)
            for task in tasks:
                self._log.warning("role_cancelled", role=task.get_name(), after_seconds=round(seconds, 1))
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=unwind_seconds)
