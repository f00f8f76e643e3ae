"""Where the demo plays: a broker, a database and the service, each started here unless it is given."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from consumer.db.connection_errors import describe_connection_error
from consumer.db.init import NotEmptyError
from consumer.db.setup import initialise, migrate
from consumer.demo.embedded_broker import LIMITS, EmbeddedBroker
from consumer.demo.embedded_postgres import EmbeddedPostgres
from consumer.demo.processes import ServerError, ServerProcess, free_port
from consumer.errors import TransientError
from consumer.kafka.topics import create_topics, planned_topics
from consumer.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AsyncExitStack

    from rich.console import Console

PARTITIONS: Final = 6
READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 25.0
STARTED: Final = "service_started"  # what consumer.bootstrap logs when every role runs


@dataclass(slots=True)
class Stage:
    """Everything that the demo stands on; ended by the stack that opened it."""

    settings: Settings
    service: ServerProcess

    @property
    def database_url(self) -> str:
        """With its password."""
        return self.settings.database_url.get_secret_value()

    async def start_service(self, console: Console) -> None:
        """Start ``forecast-consumer run`` as a process of its own and wait until it is ready.

        Raises:
            ServerError: It did not start; the message ends with its log.
        """
        with console.status("starting the service"):
            await asyncio.to_thread(self.service.start, lambda log: STARTED in log, within=READY_SECONDS)
        console.print(f"[green]✓[/] the service runs as process {self.service.pid}, its log is {self.service.log}")

    async def stop_service(self, console: Console) -> None:
        """SIGTERM, and wait for the orderly end."""
        with console.status("stopping the service"):
            await asyncio.to_thread(self.service.stop, within=STOP_SECONDS)

    async def interrupted(self) -> None:
        """Wait for Ctrl-C or SIGTERM."""
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        try:
            await stop.wait()
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def how_to_connect(self) -> Sequence[str]:
        """What to paste into another terminal."""
        program = _program()
        return (
            "in another terminal:",
            f"  export FORECAST_DATABASE_URL={self.database_url}",
            f"  export FORECAST_BOOTSTRAP_SERVERS={self.settings.bootstrap_servers}",
            f"  {program} send predict --horizonte-semanas 8 --wait",
            f"  {program} executions list",
            f"  curl http://{self.settings.admin_host}:{self.settings.admin_port}/metrics",
        )


def _program() -> str:
    """The command as another terminal finds it: `make demo` runs it where nobody has activated the environment."""
    name = "forecast-consumer"
    return name if shutil.which(name) else str(Path(sys.executable).with_name(name))


async def open_stage(
    home: Path, bootstrap_servers: str | None, database_url: str | None, stack: AsyncExitStack, console: Console
) -> Stage:
    """Start what is not given and make tables and topics where they are missing.

    Args:
        home: Directory of the database and of the service's log; exists.
        bootstrap_servers: A Kafka to use in place of the embedded broker.
        database_url: A PostgreSQL to use in place of the embedded one.
        stack: Ends what was started.
        console: Told what happens.

    Raises:
        ServerError: A server did not start, or a given one cannot be used.
    """
    url = database_url or await _start_database(home, stack, console)
    await _create_tables(url)
    settings = await _settings(url, bootstrap_servers, stack, console)
    environment = {**os.environ, **_environment(settings), "FORECAST_ARTEFACT_DIR": str(home / "artefacts")}
    service = ServerProcess([sys.executable, "-m", "consumer", "run"], home / "service.log", environment=environment)
    stack.callback(service.stop, within=STOP_SECONDS)
    return Stage(settings, service)


async def _start_database(home: Path, stack: AsyncExitStack, console: Console) -> str:
    with console.status("starting PostgreSQL"):
        server = await asyncio.to_thread(EmbeddedPostgres(home / "postgres").__enter__)
        stack.callback(server.close)
    console.print(f"[green]✓[/] an embedded PostgreSQL at {server.url()}", highlight=False)
    return server.url()


async def _create_tables(url: str) -> None:
    """In an empty database all of them; beside the backend's own tables only ours."""
    try:
        try:
            await initialise(url)
        except NotEmptyError:
            await migrate(url)
    except Exception as error:
        raise ServerError(describe_connection_error(error, url)) from error


async def _settings(url: str, bootstrap_servers: str | None, stack: AsyncExitStack, console: Console) -> Settings:
    admin_port = free_port()
    if bootstrap_servers is not None:
        settings = Settings(database_url=url, bootstrap_servers=bootstrap_servers, admin_port=admin_port)
        try:
            await create_topics(settings, PARTITIONS, replication=1)
        except TransientError as error:
            raise ServerError(str(error)) from error
        return settings
    broker = stack.enter_context(EmbeddedBroker())
    settings = Settings(database_url=url, bootstrap_servers=broker.bootstrap_servers, admin_port=admin_port)
    broker.ensure_topics(plan.name for plan in planned_topics(settings, PARTITIONS))
    console.print(f"[green]✓[/] an embedded broker at {broker.bootstrap_servers} ({LIMITS})", highlight=False)
    return settings


def _environment(settings: Settings) -> dict[str, str]:
    return {
        "FORECAST_DATABASE_URL": settings.database_url.get_secret_value(),
        "FORECAST_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "FORECAST_ADMIN_PORT": str(settings.admin_port),
        "FORECAST_LOG_FORMAT": "json",
    }
