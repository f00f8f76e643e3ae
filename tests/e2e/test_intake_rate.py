from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.commands import binary, produce
from tests.e2e.new_topics import create_visible
from tests.e2e.rows import scalar

if TYPE_CHECKING:
    from tests.e2e.conftest import MakeService
    from tests.support.topics import Topics

pytestmark = [pytest.mark.broker, pytest.mark.full_broker]

COMMANDS, BATCH = 20_000, 500
TRANSACTIONS = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"


async def test_intake_is_batched(
    topics: Topics, initialised_database_url: str, make_service: MakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    """20,000 commands become durable in one transaction a poll, at least 100 records each; prints the rate."""
    await create_visible(topics)
    commands = [binary("predict", {"produto_ids": ["P00001"], "priority": number % 10}) for number in range(COMMANDS)]
    await produce(topics, commands)
    before = await scalar(initialised_database_url, TRANSACTIONS)
    service = make_service(initialised_database_url, roles="intake", intake_batch=BATCH)
    service.start()
    await service.until(lambda: read(service.events("batch_persisted")) >= COMMANDS, "20,000 persisted records", 90)
    assert await service.stop() == 0
    batches = service.events("batch_persisted")
    transactions = await scalar(initialised_database_url, TRANSACTIONS) - before
    with capsys.disabled():
        print(f"\nintake: {read(batches) / seconds(batches):,.0f} commands/s, {len(batches)} batches")  # noqa: T201  a number to be read
    assert sum(batch["accepted"] for batch in batches) == COMMANDS
    assert await scalar(initialised_database_url, "SELECT count(*) FROM forecast_consumer.command") == COMMANDS
    # A poll gives what has been fetched, which now and then is less than a whole batch.
    assert len(batches) <= 2 * math.ceil(COMMANDS / BATCH)
    assert read(batches) / len(batches) >= 100
    # pool_pre_ping is a transaction too, and start and end need some.
    assert transactions <= 3 * len(batches) + 60, f"{transactions} transactions for {len(batches)} batches"


def read(batches: list[dict[str, Any]]) -> int:
    return sum(batch["records"] for batch in batches)


def seconds(batches: list[dict[str, Any]]) -> float:
    """From the beginning of the first batch to the end of the last."""
    first, last = (dt.datetime.fromisoformat(batches[place]["timestamp"]) for place in (0, -1))
    return (last - first).total_seconds() + float(batches[0]["milliseconds"]) / 1000
