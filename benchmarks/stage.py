"""Where everything is measured: one Kafka and one PostgreSQL with fsync on, fresh topics and databases each time."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from benchmarks.measure import alternate
from benchmarks.progress import Progress
from consumer.db.setup import initialise
from consumer.demo.embedded_postgres import EmbeddedPostgres
from tests.e2e.service_process import ServiceProcess
from tests.support.brokers import choose_broker
from tests.support.databases import temporary_database
from tests.support.topics import Topics

if TYPE_CHECKING:
    from collections import defaultdict
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from benchmarks.measure import Contestant, Series
    from tests.support.brokers import Kind

PROJECT: Final = Path(__file__).parent.parent
SERVICE: Final = (sys.executable, "-m", "consumer", "run")
# Enough that no checkpoint falls into one contestant's round and spares another's.
POSTGRES: Final = {"max_wal_size": "8GB", "checkpoint_timeout": "30min", "shared_buffers": "512MB"}


@dataclass(frozen=True, slots=True)
class Place:
    """A database and the topics of one measurement, known to processes by their environment."""

    url: str
    topics: Topics
    partitions: int

    @property
    def group(self) -> str:
        """The consumer group of whoever is measured."""
        return self.topics.settings["group_id"]

    @property
    def environment(self) -> dict[str, str]:
        """What the service and the peers read."""
        ours = {"FORECAST_DATABASE_URL": self.url, "FORECAST_ADMIN_PORT": "0", "PYTHONPATH": str(PROJECT)}
        return {**self.topics.environment, **ours}


@dataclass(frozen=True, slots=True)
class Stage:
    """The servers of a run; ``template`` is a database with all tables and no rows."""

    server_url: str
    postgres_pid: int
    bootstrap_servers: str
    kind: Kind
    template: str
    directory: Path
    rounds: int
    quick: bool
    progress: Progress = field(default_factory=Progress)

    def size(self, full: int, quick: int) -> int:
        """How much work a round has."""
        return quick if self.quick else full

    async def in_turns(self, contestants: Mapping[str, Contestant]) -> dict[str, defaultdict[str, Series]]:
        """Let everybody run once a round: ``benchmarks.measure.alternate``."""
        return await alternate(contestants, self.rounds, self.progress)

    @asynccontextmanager
    async def place(self, partitions: int = 6, template: str | None = None) -> AsyncIterator[Place]:
        """Fresh topics and a fresh database, gone afterwards."""
        topics = Topics(f"b{uuid4().hex[:8]}.", self.bootstrap_servers, self.kind)
        async with temporary_database(self.server_url, template or self.template) as url:
            await topics.create(partitions=partitions)
            try:
                yield Place(url, topics, partitions)
            finally:
                await topics.delete()

    @asynccontextmanager
    async def process(
        self, place: Place, command: Sequence[str] = SERVICE, settings: Mapping[str, str] | None = None
    ) -> AsyncIterator[ServiceProcess]:
        """The service, or a peer, in a process of its own; asked to end, and killed if it does not."""
        process = ServiceProcess({**place.environment, **(settings or {})}, self.directory, command)
        process.start()
        try:
            try:
                yield process
            except Exception as error:
                raise RuntimeError(f"{error}; the end of its log: {process.log[-1000:]}") from error
            process.terminate()
            await process.exit_code(within=30)
        finally:
            await process.close()


def module(name: str, *arguments: str) -> tuple[str, ...]:
    """The command line of a peer's module."""
    return (sys.executable, "-m", f"benchmarks.{name}", *arguments)


@contextmanager
def servers(settings: Mapping[str, str] | None = None) -> Iterator[tuple[EmbeddedPostgres, str, Kind]]:
    """A PostgreSQL (with more settings, if need be), and the address and kind of a broker."""
    choice = choose_broker(os.environ)
    print(choice.header)
    if choice.kind == "embedded":
        raise SystemExit("the benchmark needs a real Kafka, and only the embedded broker is there")
    choice.broker.start()
    try:
        with EmbeddedPostgres(durable=True, settings={**POSTGRES, **(settings or {})}) as postgres:
            yield postgres, choice.broker.bootstrap_servers, choice.kind
    finally:
        choice.broker.close()


@asynccontextmanager
async def open_stage(
    postgres: EmbeddedPostgres,
    bootstrap_servers: str,
    kind: Kind,
    rounds: int,
    *,
    quick: bool,
    progress: Progress | None = None,
) -> AsyncIterator[Stage]:
    """The stage of a run."""
    with tempfile.TemporaryDirectory(prefix="forecast-bench-") as directory:
        async with temporary_database(postgres.url()) as url:
            await initialise(url)
            template = url.rsplit("/", 1)[1]
            yield Stage(
                postgres.url(),
                postgres.pid,
                bootstrap_servers,
                kind,
                template,
                Path(directory),
                rounds,
                quick,
                progress or Progress(),
            )
