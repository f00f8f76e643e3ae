"""PostgreSQL and then Kafka stop in turn, under load, and the same process goes on.

``FORECAST_TEST_OUTAGE=60`` is how long the proof of the guarantees wants each of them to be gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from prometheus_client.parser import text_string_to_metric_families

from consumer.db.setup import initialise
from consumer.demo.embedded_postgres import EmbeddedPostgres
from tests.e2e.commands import binary, plain, send
from tests.e2e.new_topics import create_visible
from tests.e2e.sales import seed_sales
from tests.support.evidence import collect
from tests.support.invariants import violations
from tests.support.journal import Follower

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.e2e.commands import Outgoing
    from tests.e2e.conftest import MakeService
    from tests.e2e.sales import Catalogue
    from tests.e2e.service_process import ServiceProcess
    from tests.support.evidence import Sent
    from tests.support.kafka_server import KafkaServer
    from tests.support.topics import Topics

pytestmark = [pytest.mark.broker, pytest.mark.full_broker, pytest.mark.timeout(500)]

OUTAGE_SECONDS: Final = float(os.environ.get("FORECAST_TEST_OUTAGE", "12"))
RESUME_SECONDS: Final = 10.0
LOAD_PAUSE: Final = 0.1
COUNTERS: Final = ("forecast_intake_records", "forecast_executions", "forecast_published")


@pytest.fixture(scope="module")
def durable_postgres() -> Iterator[EmbeddedPostgres]:
    """A server of our own that keeps what it has committed when it is killed."""
    with EmbeddedPostgres() as server:
        yield server


@pytest_asyncio.fixture
async def shop(durable_postgres: EmbeddedPostgres) -> AsyncIterator[tuple[str, Catalogue]]:
    url = durable_postgres.url()
    await initialise(url)
    yield url, await seed_sales(url, 400, 60, seed=7)


async def test_outages_under_load_lose_nothing_and_need_no_restart(
    topics: Topics,
    shop: tuple[str, Catalogue],
    durable_postgres: EmbeddedPostgres,
    restartable_kafka: KafkaServer,
    make_service: MakeService,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each server is killed under load; within 10 s of its return everything goes on, and every command ends once."""
    await create_visible(topics)
    url, catalogue = shop
    service = make_service(url, worker_executions=3, lease_seconds=10)
    service.start()
    await service.ready()
    pid = service.pid
    async with Load.running(topics, catalogue) as load:
        await service.until(lambda: len(service.events("execution_finished")) >= 20, "20 executions")
        os.kill(durable_postgres.pid, signal.SIGQUIT)  # PostgreSQL's immediate shutdown: a crash, without goodbyes
        await asyncio.to_thread(durable_postgres.stop)
        await away(load)
        await asyncio.to_thread(durable_postgres.start)
        without_postgres = await resumed(service)
        await service.until(lambda: len(service.events("execution_finished")) >= 60, "60 executions", 120)
        restartable_kafka.kill()
        await away(load)
        await asyncio.to_thread(restartable_kafka.start)
        without_kafka = await resumed(service)
    async with Follower(topics.bootstrap_servers, topics.all[4:]) as follower:
        wanted = len(load.sent)
        await service.meanwhile(follower.until(lambda journal: len(journal.ended) >= wanted, "all ends", 120))
        assert service.pid == pid
        assert await service.stop() == 0
        journal = await follower.to_the_end()
    with capsys.disabled():
        told = f"PostgreSQL: {without_postgres}; Kafka: {without_kafka}; {wanted} commands"
        print(f"\nresumed after {OUTAGE_SECONDS:g} s without {told}")  # noqa: T201  numbers to be read
    assert len(journal.ended) == wanted
    assert violations(await collect(url, topics, load.sent, journal)) == []
    assert max(*without_postgres.values(), *without_kafka.values()) < RESUME_SECONDS


@dataclass(slots=True)
class Load:
    """Valid commands, one after the other, each until the broker has it."""

    topics: Topics
    catalogue: Catalogue
    sent: list[Sent] = field(default_factory=list)

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, topics: Topics, catalogue: Catalogue) -> AsyncIterator[Load]:
        """Sends until the end of the block, and waits for what is under way."""
        load, enough = cls(topics, catalogue), asyncio.Event()
        async with AIOKafkaProducer(bootstrap_servers=topics.bootstrap_servers, enable_idempotence=True) as producer:
            task = asyncio.create_task(load._run(producer, enough))
            try:
                yield load
            finally:
                enough.set()
                await asyncio.wait_for(task, 60)

    async def _run(self, producer: AIOKafkaProducer, enough: asyncio.Event) -> None:
        while not enough.is_set():
            self.sent.append(await send(producer, self.topics, self._command(len(self.sent))))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(enough.wait(), LOAD_PAUSE)

    def _command(self, number: int) -> Outgoing:
        products = self.catalogue.intermittent(2, skip=number % 150)
        if number % 5 == 4:
            return plain("backtest", {"produto_ids": products, "holdout_weeks": 4})
        return binary("predict", {"execucao_id": str(uuid.uuid4()), "produto_ids": products})


async def away(load: Load) -> None:
    """How long the server is gone; the load must have gone on before."""
    assert load.sent
    await asyncio.sleep(OUTAGE_SECONDS)


async def resumed(service: ServiceProcess) -> dict[str, float]:
    """Seconds from now until records are taken in, executions end and messages are published again."""
    begun, seconds = time.monotonic(), dict[str, float]()
    before = await counters(service)
    while len(seconds) < len(COUNTERS):
        assert time.monotonic() - begun < 3 * RESUME_SECONDS, f"of {COUNTERS} only {seconds} went on"
        await asyncio.sleep(0.1)
        for name, value in (await counters(service)).items():
            if value > before[name] and name not in seconds:
                seconds[name] = round(time.monotonic() - begun, 1)
    return seconds


async def counters(service: ServiceProcess) -> dict[str, float]:
    families = text_string_to_metric_families((await service.get("/metrics")).text)
    return {
        family.name: sum(sample.value for sample in family.samples if sample.name.endswith("_total"))
        for family in families
        if family.name in COUNTERS
    }
