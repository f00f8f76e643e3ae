"""SIGTERM in every state: the process and its model processes are gone when its grace is over, in good order.

The grace is that of the tests; ``FORECAST_TEST_GRACE=20`` takes the service's own default.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
import uuid
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil
import pytest
import pytest_asyncio

from consumer.db.setup import initialise
from consumer.demo.embedded_postgres import EmbeddedPostgres
from consumer.exit_codes import ExitCode
from tests.e2e.commands import binary, produce
from tests.e2e.new_topics import create_visible
from tests.e2e.rows import rows, scalar
from tests.e2e.sales import seed_sales
from tests.support.databases import temporary_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from tests.e2e.commands import Outgoing
    from tests.e2e.conftest import MakeService
    from tests.e2e.service_process import ServiceProcess
    from tests.support.kafka_server import KafkaServer
    from tests.support.topics import Topics

    Stop = Callable[[ServiceProcess], Awaitable[float]]

pytestmark = [pytest.mark.broker, pytest.mark.full_broker]

GRACE: Final = float(os.environ.get("FORECAST_TEST_GRACE", "6"))
PRODUCTS: Final = 200
ENDLESS: Final = (sys.executable, str(Path(__file__).with_name("endless_service.py")), "run")
# The first lines of a model process that took the place of a killed one while all of them were being ended: what it
# was to inherit is gone. It is dead a moment later, as it should be.
STARTED_TOO_LATE: Final = 'Traceback (most recent call last):\n  File "<string>", line 1, in <module>\n'
LEASES: Final = "SELECT state, attempt, lease_owner, lease_until FROM forecast_consumer.command"
RELAY_LEASES: Final = "SELECT count(*) FROM forecast_consumer.role_lease"


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[EmbeddedPostgres]:
    """A server that may be frozen without anybody else noticing."""
    with EmbeddedPostgres(durable=False) as server:
        yield server


@pytest_asyncio.fixture
async def own_url(own_postgres: EmbeddedPostgres) -> AsyncIterator[str]:
    """A database with some sales on it."""
    async with temporary_database(own_postgres.url()) as url:
        await initialise(url)
        await seed_sales(url, PRODUCTS, 60, seed=7)
        yield url


@pytest.fixture
def stop(capsys: pytest.CaptureFixture[str]) -> Stop:
    """SIGTERM to a service, with all that must be true of its end; gives the seconds."""
    return lambda service: _stop(service, capsys)


def claimed(service: ServiceProcess) -> list[str]:
    """Executions that the service has said to have claimed."""
    return [name for line in service.events("executions_claimed") for name in line["execucao_ids"]]


async def test_idle(topics: Topics, own_url: str, make_service: MakeService, stop: Stop) -> None:
    """Without work the process leaves at once, and its leases are given up."""
    async with running(topics, own_url, make_service) as service:
        assert await stop(service) < GRACE * 0.75
    assert await scalar(own_url, RELAY_LEASES) == 0


async def test_loaded(topics: Topics, own_url: str, make_service: MakeService, stop: Stop) -> None:
    """With hundreds of commands queued and two running, everything is handed back and nothing counts as an attempt."""
    async with running(topics, own_url, make_service, chunk_products=5) as service:
        await produce(topics, [predict(20) for _ in range(400)])
        await service.logged("execution_finished")
        await stop(service)
    states = await rows(own_url, f"{LEASES} WHERE state <> 'done'")
    assert len(states) > 300
    assert set(states) == {("queued", 0, None, None)}
    assert await scalar(own_url, RELAY_LEASES) == 0


async def test_model_running(topics: Topics, own_url: str, make_service: MakeService, stop: Stop) -> None:
    """Chunks that would compute for hours are killed with their share of the grace, and handed back uncounted."""
    async with running(topics, own_url, make_service, endless=True, chunk_products=50) as service:
        await produce(topics, [predict(PRODUCTS), predict(PRODUCTS)])
        await service.until(lambda: len(claimed(service)) == 2, "two executions")
        await service.logged("endless_chunk")
        assert await stop(service) > GRACE / 4, "the chunks had no time to end"
    assert await rows(own_url, LEASES) == [("queued", 0, None, None)] * 2


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_kafka_gone(
    topics: Topics,
    own_url: str,
    make_service: MakeService,
    restartable_kafka: KafkaServer,
    stop: Stop,
    how: str,
) -> None:
    """Without a broker, with messages that cannot be sent, the process ends in good order; they stay in the outbox."""
    async with running(topics, own_url, make_service, chunk_products=5) as service:
        await produce(topics, [predict(20) for _ in range(200)])
        await service.logged("execution_finished")
        restartable_kafka.kill() if how == "killed" else restartable_kafka.pause()
        await service.until(lambda: service.events("relay_round_failed"), "failing round of the relay", 30)
        await stop(service)
    assert await scalar(own_url, "SELECT count(*) FROM forecast_consumer.outbox") > 0
    assert await scalar(own_url, "SELECT count(*) FROM forecast_consumer.command WHERE state = 'running'") == 0


@pytest.mark.parametrize("state", ["idle", "model running"])
async def test_postgres_frozen(
    topics: Topics,
    own_url: str,
    own_postgres: EmbeddedPostgres,
    make_service: MakeService,
    stop: Stop,
    state: str,
) -> None:
    """With a database that takes no goodbye, connections are cut and leases left to run out, in good order."""
    async with running(topics, own_url, make_service, endless=state != "idle") as service:
        if state != "idle":
            await produce(topics, [predict(PRODUCTS)])
            await service.logged("executions_claimed")
            await service.logged("endless_chunk")
        own_postgres.pause()
        try:
            await produce(topics, [predict(5) for _ in range(10)])
            # Long enough for heartbeat, relay and intake to be in the middle of a statement.
            await asyncio.sleep(2)
            await stop(service)
        finally:
            own_postgres.resume()


def predict(products: int) -> Outgoing:
    return binary("predict", {"execucao_id": str(uuid.uuid4()), "produto_ids": [f"P{n:05d}" for n in range(products)]})


@asynccontextmanager
async def running(
    topics: Topics, url: str, make_service: MakeService, *, endless: bool = False, **settings: object
) -> AsyncIterator[ServiceProcess]:
    await create_visible(topics)
    service = make_service(url, grace_seconds=GRACE, lease_seconds=30, publish_timeout_seconds=2, **settings)
    if endless:
        service.command = ENDLESS
    service.start()
    await service.ready()
    await service.logged("model_processes_ready")
    yield service


async def _stop(service: ServiceProcess, capsys: pytest.CaptureFixture[str]) -> float:
    """SIGTERM; the process ends in good order within its grace + 2 s, and its model processes with it."""
    children = psutil.Process(service.pid).children(recursive=True)
    assert children, "no model process was there"
    begun = time.monotonic()
    code = await service.stop(within=GRACE + 10)
    seconds = time.monotonic() - begun
    with capsys.disabled():
        print(f"\ngone after {seconds:.1f} s of a grace of {GRACE:g} s")  # noqa: T201  a number to be read
    assert seconds < GRACE + 2
    assert code == ExitCode.OK
    before, _, while_stopping = service.log.partition('"event": "stopping"')
    assert "Traceback" not in before + while_stopping.replace(STARTED_TOO_LATE, "")
    _, alive = await asyncio.to_thread(psutil.wait_procs, children, 2)
    # Nobody may be there to take an orphan's exit status.
    assert [child for child in alive if child.status() != psutil.STATUS_ZOMBIE] == []
    return seconds
