from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest
import pytest_asyncio

from tests.e2e.sales import Catalogue, seed_sales
from tests.e2e.service_process import ServiceProcess
from tests.support.databases import temporary_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator
    from pathlib import Path

    from tests.support.topics import Topics

_STARTED = pytest.StashKey[list[ServiceProcess]]()
PRODUCTS, WEEKS = 2000, 60


class MakeService(Protocol):
    """A service on the test's topics and the given database; keywords are settings, ``lease_seconds=2``."""

    def __call__(self, database_url: str, **settings: object) -> ServiceProcess: ...


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        started: list[ServiceProcess] = item.stash.get(_STARTED, [])
        for number, process in enumerate(started):
            report.sections.append((f"log of service {number}", "\n".join(process.lines[-60:])))
    return report


@pytest_asyncio.fixture
async def make_service(topics: Topics, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[MakeService]:
    """Builds services that are ended with the test; their logs are shown if it fails."""
    made: list[ServiceProcess] = []
    request.node.stash[_STARTED] = made

    def make(database_url: str, **settings: object) -> ServiceProcess:
        defaults = {
            "lease_seconds": 2,
            "relay_lease_seconds": 1,
            "compute_processes": 2,
            "admin_port": 0,
            "log_format": "json",
            "database_url": database_url,
            "startup_wait_seconds": 0,
            "global_products": PRODUCTS + 1,  # only tests about trained models wait for a fit
        }
        named = {f"FORECAST_{name.upper()}": str(value) for name, value in {**defaults, **settings}.items()}
        process = ServiceProcess({**topics.environment, **named}, tmp_path)
        made.append(process)
        return process

    yield make
    for process in made:
        await process.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sales_template(postgres_url: str, template_database: str) -> AsyncIterator[tuple[str, Catalogue]]:
    """Name of a database with all tables and a catalogue with sales, that others are copied from."""
    async with temporary_database(postgres_url, template_database) as url:
        yield url.rsplit("/", 1)[1], await seed_sales(url, PRODUCTS, WEEKS, seed=7)


@pytest.fixture
def catalogue(sales_template: tuple[str, Catalogue]) -> Catalogue:
    """What the database of this test sells."""
    return sales_template[1]


@pytest_asyncio.fixture
async def sales_url(postgres_url: str, sales_template: tuple[str, Catalogue]) -> AsyncIterator[str]:
    """URL of a database of this test with all tables and the catalogue."""
    async with temporary_database(postgres_url, sales_template[0]) as url:
        yield url


@pytest_asyncio.fixture
async def second_sales_url(postgres_url: str, sales_template: tuple[str, Catalogue]) -> AsyncIterator[str]:
    """URL of another database with the same content."""
    async with temporary_database(postgres_url, sales_template[0]) as url:
        yield url
