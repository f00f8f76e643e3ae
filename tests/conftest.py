from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from hypothesis import settings

from tests.support.brokers import Broker, BrokerChoice, BrokerError, choose_broker
from tests.support.databases import database_server, temporary_database
from tests.support.kafka_server import KafkaServer
from tests.support.topics import Topics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator

# A property is about values: how long an example takes on a busy machine says nothing about it.
settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")

_CHOICE = pytest.StashKey[BrokerChoice]()


def pytest_configure(config: pytest.Config) -> None:
    try:
        config.stash[_CHOICE] = choose_broker(os.environ)
    except BrokerError as error:
        pytest.exit(f"broker: {error}", returncode=4)


def pytest_report_header(config: pytest.Config) -> str:
    return config.stash[_CHOICE].header


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    choice = config.stash[_CHOICE]
    if choice.kind != "embedded":
        return
    for item in items:
        if item.get_closest_marker("full_broker"):
            why = f"{item.name} needs a full broker, this run has {choice.broker.description}"
            item.add_marker(pytest.mark.skip(reason=why))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and "kafka" in getattr(item, "fixturenames", ()):
        report.sections.append(("broker log", item.config.stash[_CHOICE].broker.log_tail()))
    return report


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """The broker of this run, started when the first test needs it; ``kafka.bootstrap_servers``."""
    broker = request.config.stash[_CHOICE].broker
    broker.start()
    yield broker
    broker.close()


@pytest.fixture
def restartable_kafka(kafka: Broker) -> Iterator[KafkaServer]:
    """The broker of this run if it can be killed, paused and restarted; else the test is skipped."""
    if not isinstance(kafka, KafkaServer):
        pytest.skip(f"needs a broker that can be restarted, this run has {kafka.description}")
    yield kafka
    kafka.start()
    kafka.resume()


@pytest_asyncio.fixture
async def topics(kafka: Broker, request: pytest.FixtureRequest) -> AsyncIterator[Topics]:
    """Names under a prefix of this test; ``await topics.create()`` creates the seven."""
    kind = request.config.stash[_CHOICE].kind
    ours = Topics(f"t{uuid.uuid4().hex[:8]}.", kafka.bootstrap_servers, kind)
    yield ours
    await ours.delete()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """URL of the PostgreSQL server of this run (its maintenance database)."""
    with database_server() as url:
        yield url


@pytest_asyncio.fixture
async def database_url(postgres_url: str) -> AsyncIterator[str]:
    """URL of an empty database of this test."""
    async with temporary_database(postgres_url) as url:
        yield url


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def template_database(postgres_url: str) -> AsyncIterator[str]:
    """Name of a database with all tables and no rows, that others are copied from."""
    from consumer.db.setup import initialise  # noqa: PLC0415  only tests with tables need the adapters

    async with temporary_database(postgres_url) as url:
        await initialise(url)
        yield url.rsplit("/", 1)[1]


@pytest_asyncio.fixture
async def initialised_database_url(postgres_url: str, template_database: str) -> AsyncIterator[str]:
    """URL of a database of this test with the backend's tables and ours, all empty."""
    async with temporary_database(postgres_url, template_database) as url:
        yield url
