"""The composition root: checks what the service needs, builds its roles (``roles.py``), and runs them to the end."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Final

from consumer.clock import SystemClock
from consumer.exit_codes import ExitCode
from consumer.health import ServiceHealth
from consumer.http.admin import application, bind, serve
from consumer.late_worker import LateWorker
from consumer.outbound import Composer
from consumer.roles import Parts, build_intake, build_maintenance, build_relay, open_database
from consumer.service import FORCE_SECONDS, Roles, Service, Timing
from consumer.signals import leave_tasks_behind, stop_on_signals
from consumer.startup import check_everything, warn_of_long_retention
from consumer.telemetry.logs import get_logger
from consumer.telemetry.loop_lag import LoopLagMeter
from consumer.telemetry.metrics import Metrics
from consumer.watchdog import Watchdog
from consumer.wiring import topics_of

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from consumer.db.database import Database
    from consumer.execution.worker import Worker
    from consumer.settings import Settings

PARTITIONS_SECONDS: Final = 3.0


async def run_service(settings: Settings) -> ExitCode:
    """Check, wire, run until SIGTERM or SIGINT, close everything within the grace.

    Raises:
        StartupError: Something that the service needs is not there; nothing is left half-started.
    """
    log = get_logger("service")
    with stop_on_signals(settings.grace_seconds + FORCE_SECONDS) as stopping:
        parts = Parts(settings, SystemClock(), Metrics(), stopping)
        async with AsyncExitStack() as stack:
            health = await _open_admin_port(parts, stack)
            service = await _unless_stopped(open_service(parts, stack), stopping)
            if service is None:
                return ExitCode.OK
            health.service = service
            health.watchdog = stack.enter_context(Watchdog(service.watched(), parts.clock, get_logger("watchdog")))
            log.info("service_started", roles=list(settings.roles), instance=settings.instance)
            code = await service.run()
    log.info("service_stopped", exit_code=int(code))
    await leave_tasks_behind(code)
    return code


async def open_service(parts: Parts, stack: AsyncExitStack) -> Service:
    """Build the roles of the settings; the stack closes what they use.

    Raises:
        StartupError: The database or broker is not as it must be.
    """
    settings, clock = parts.settings, parts.clock
    database = await open_database(parts, "work", stack)
    await check_everything(database, settings, clock, get_logger("startup"))
    composer = Composer(topics_of(settings))
    roles = Roles()
    if "relay" in settings.roles:
        roles.relay = await build_relay(parts, database, stack)
    if "worker" in settings.roles:
        roles.worker = LateWorker(partial(_load_worker, parts, database, composer, roles, stack), parts.at_work)
        roles.maintenance = build_maintenance(parts, database)
    if "intake" in settings.roles:
        await build_intake(parts, database, composer, roles, stack)
    stack.callback(asyncio.create_task(_later(parts), name="later").cancel)
    lag = LoopLagMeter(clock, parts.metrics.loop_lag.observe, settings.loop_lag_warning_seconds, get_logger("loop"))
    timing = Timing(settings.grace_seconds, settings.stuck_seconds)
    return Service(roles, parts.stopping, lag, timing, clock, get_logger("service"))


async def _load_worker(
    parts: Parts, database: Database, composer: Composer, roles: Roles, stack: AsyncExitStack
) -> Worker:
    """Import in a thread, because the event loop is at work already, then wire."""
    role = await asyncio.to_thread(import_module, "consumer.worker_role")
    worker: Worker = await role.build_worker(parts, database, composer, roles, stack)
    return worker


async def _later(parts: Parts) -> None:
    """Begin what can wait when intake has its partitions, or soon: a worker has work while Kafka is away, too."""
    if "intake" in parts.settings.roles:
        with suppress(TimeoutError):
            async with asyncio.timeout(PARTITIONS_SECONDS):
                await parts.at_work.wait()
    parts.at_work.set()
    await warn_of_long_retention(parts.settings, get_logger("startup"))


async def _open_admin_port(parts: Parts, stack: AsyncExitStack) -> ServiceHealth:
    health = ServiceHealth()
    listener = bind(parts.settings.admin_host, parts.settings.admin_port)
    await stack.enter_async_context(serve(listener, application(health, parts.metrics)))
    host, port = listener.getsockname()[:2]
    get_logger("service").info("admin_port_open", address=f"{host}:{port}")
    return health


async def _unless_stopped(opening: Coroutine[Any, Any, Service], stopping: asyncio.Event) -> Service | None:
    """The opened service, or None when a signal came while it was waiting for its database or broker."""
    task, stop = asyncio.create_task(opening), asyncio.create_task(stopping.wait())
    await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
        return None
    return task.result()
