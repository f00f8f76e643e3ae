"""Everything that a run needs, set up and taken down: servers, database with sales and audit, topics, processes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiokafka.admin import NewTopic

from consumer.db.setup import initialise
from tests.chaos.faults.failpoints import Aims, order_of
from tests.chaos.fleet import Fleet, Member, Nursery
from tests.chaos.records import PRODUCTS, REPLY, TINY_REPLY
from tests.chaos.rig import CHUNK_SECONDS, GRACE_SECONDS, LEASE_SECONDS, Rig
from tests.chaos.servers import servers
from tests.e2e.new_topics import create_visible
from tests.e2e.rows import connected
from tests.e2e.sales import seed_sales
from tests.support.databases import with_database
from tests.support.topics import Topics, admin_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from tests.chaos.history import History
    from tests.chaos.servers import Servers

WEEKS: Final = 60
TINY_BYTES: Final = 1000  # a terminal status with its headers is larger, the first ones are not
MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    "a": ("intake", "worker"),
    "b": ("intake", "worker", "relay"),
    "c": ("intake", "relay"),
    "d": ("worker",),
}
_SETTINGS: Final[Mapping[str, object]] = {
    "global_products": PRODUCTS + 1,  # a fit takes longer than a process lives here
    "admin_port": 0,
    "backoff_max_seconds": 2,
    "backoff_seconds": 0.3,
    "chunk_products": 3,
    "chunk_timeout_seconds": CHUNK_SECONDS,
    "compute_memory_megabytes": 4096,
    "compute_processes": 2,
    "grace_seconds": GRACE_SECONDS,
    "intake_batch": 50,
    "intake_poll_seconds": 0.5,
    "lease_seconds": LEASE_SECONDS,
    "max_attempts": 8,
    "poll_seconds": 0.2,
    "publish_timeout_seconds": 4,
    "relay_lease_seconds": 2,
    "session_timeout_seconds": 4,
    "startup_wait_seconds": 120,
    "worker_executions": 3,
}


@contextlib.asynccontextmanager
async def staged(directory: Path, history: History, seed: int, mutant: str | None = None) -> AsyncIterator[Rig]:
    """A rig whose processes are up."""
    with _client_log(directory / "driver.log"):
        async with _staged(directory, history, seed, mutant) as rig:
            yield rig


@contextlib.contextmanager
def _client_log(path: Path) -> Iterator[None]:
    """What the driver's own clients say of servers that go away is for nobody's screen."""
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logs = [logging.getLogger(name) for name in ("aiokafka", "asyncio")]
    for log in logs:
        log.addHandler(handler)
        log.propagate = False
    try:
        yield
    finally:
        for log in logs:
            log.removeHandler(handler)
            log.propagate = True
        handler.close()


@contextlib.asynccontextmanager
async def _staged(directory: Path, history: History, seed: int, mutant: str | None) -> AsyncIterator[Rig]:
    async with servers(directory) as running:
        url = await _database(running)
        topics = Topics("chaos.", running.kafka.bootstrap_servers, "maven")
        await create_visible(topics, topics.name(REPLY))
        async with admin_client(topics.bootstrap_servers) as admin:
            tiny = NewTopic(topics.name(TINY_REPLY), 1, 1, topic_configs={"max.message.bytes": str(TINY_BYTES)})
            await admin.create_topics([tiny])
        environment = _environment(running, topics, mutant)
        async with Nursery() as nursery, Fleet(_members(environment, directory, history, nursery)) as fleet:
            rig = Rig(running, fleet, topics, history, url, Aims(order_of(seed)))
            up = await asyncio.gather(*(member.up(60) for member in fleet.members))
            assert all(up), "the service did not start; see its logs"
            yield rig


def _members(environment: dict[str, str], directory: Path, history: History, nursery: Nursery) -> list[Member]:
    return [
        Member(name, roles, {**environment, "FORECAST_ROLES": ",".join(roles)}, directory, history, nursery)
        for name, roles in MEMBERS.items()
    ]


async def _database(running: Servers) -> str:
    async with connected(running.postgres.url()) as connection:
        await connection.execute("CREATE DATABASE chaos")
    url = with_database(running.postgres.url(), "chaos")
    await initialise(url)
    await seed_sales(url, PRODUCTS, WEEKS, seed=11)
    async with connected(url) as connection:
        await connection.execute(Path(__file__).with_name("audit.sql").read_text(encoding="utf-8"))
    return url


def _environment(running: Servers, topics: Topics, mutant: str | None) -> dict[str, str]:
    settings = {**_SETTINGS, **topics.settings}
    settings |= {"bootstrap_servers": running.proxied_bootstrap, "database_url": running.proxied_url("chaos")}
    named = {f"FORECAST_{name.upper()}": str(value) for name, value in settings.items()}
    return named | ({"CHAOS_MUTANT": mutant} if mutant else {})
