from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

import pytest

from consumer.exit_codes import ExitCode
from tests.e2e.commands import binary, plain, produce
from tests.e2e.new_topics import create_visible
from tests.e2e.rows import rows, scalar
from tests.e2e.test_crash import committed_chunks
from tests.support.evidence import collect
from tests.support.invariants import violations
from tests.support.journal import Follower

if TYPE_CHECKING:
    from tests.e2e.conftest import MakeService
    from tests.e2e.sales import Catalogue
    from tests.e2e.service_process import ServiceProcess
    from tests.support.topics import Topics

pytestmark = [pytest.mark.broker, pytest.mark.full_broker]

GRACE = 10
LEASES = "SELECT state, attempt, lease_owner, lease_until FROM forecast_consumer.command WHERE execucao_id = $1"
LEFT = "SELECT (SELECT count(*) FROM forecast_consumer.outbox) + (SELECT count(*) FROM forecast_consumer.role_lease)"


async def test_idle_service_leaves_at_once(
    topics: Topics, initialised_database_url: str, make_service: MakeService
) -> None:
    """SIGTERM without work: exit code 0 long before the grace is over, the relay's lease given up."""
    await create_visible(topics)
    service = make_service(initialised_database_url, grace_seconds=GRACE)
    service.start()
    await service.ready()
    assert await stop_in_grace(service) < GRACE / 2
    assert await scalar(initialised_database_url, LEFT) == 0


async def test_stop_under_load_hands_everything_back(
    topics: Topics, sales_url: str, catalogue: Catalogue, make_service: MakeService
) -> None:
    """SIGTERM in the middle of a predict: its chunks are kept, its lease is handed back, the attempt is not counted."""
    await create_visible(topics)
    predict = str(uuid.uuid4())
    products = catalogue.ids(1000)
    commands = [binary("predict", {"execucao_id": predict, "produto_ids": products, "priority": 0})]
    commands += [plain("backtest", {"produto_ids": catalogue.intermittent(2, skip=number)}) for number in range(20)]
    sent = await produce(topics, commands)
    service = make_service(sales_url, chunk_products=20, grace_seconds=GRACE, worker_executions=1)
    async with (
        committed_chunks(sales_url) as chunks,
        Follower(topics.bootstrap_servers, topics.all[4:]) as follower,
    ):
        service.start()
        await service.meanwhile(chunks.get())
        assert await stop_in_grace(service) <= GRACE + 2
        assert await rows(sales_url, LEASES, predict) == [("queued", 0, None, None)]
        assert await scalar(sales_url, LEFT) == 0
        service.start()
        await service.meanwhile(follower.until(lambda journal: len(journal.ended) == len(commands), "all ends"))
        assert await stop_in_grace(service) <= GRACE + 2
        journal = await follower.to_the_end()
    assert journal.ended[predict].data["attempt"] == 1
    assert violations(await collect(sales_url, topics, sent, journal)) == []


async def stop_in_grace(service: ServiceProcess) -> float:
    """SIGTERM; gives the seconds until the process was gone."""
    begun = time.monotonic()
    assert await service.stop(within=GRACE + 5) == ExitCode.OK
    return time.monotonic() - begun
