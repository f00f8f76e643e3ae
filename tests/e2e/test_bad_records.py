"""Bad records in any number: each is refused once, and the service does not grow.

``FORECAST_TEST_BAD_RECORDS=100000`` is the number that the guarantees speak of.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from statistics import median
from typing import TYPE_CHECKING, Final

import psutil
import pytest

from tests.e2e.commands import produce
from tests.e2e.new_topics import create_visible
from tests.e2e.random_records import bad_records
from tests.e2e.rows import scalar
from tests.support.evidence import Position, Sent, collect
from tests.support.invariants import violations
from tests.support.journal import Follower
from tests.support.raw_names import ODD, produce_raw_name

if TYPE_CHECKING:
    from tests.e2e.conftest import MakeService
    from tests.e2e.service_process import ServiceProcess
    from tests.support.topics import Topics

pytestmark = [pytest.mark.broker, pytest.mark.full_broker]

COUNT: Final = int(os.environ.get("FORECAST_TEST_BAD_RECORDS", "5000"))
SEED: Final = int(os.environ.get("FORECAST_TEST_SEED", "1"))
BLOCK: Final = 5000
MEGABYTE: Final = 1024 * 1024
GROWTH_MEGABYTES: Final = 24.0
REFUSED: Final = "SELECT count(*) FROM forecast_consumer.refused_record"
BATCH: Final = 5
WARM_SHARE: Final = 10  # a tenth is refused before memory is looked at: a process that starts grows


async def test_every_bad_record_becomes_one_dead_letter_and_memory_stays_flat(
    topics: Topics, initialised_database_url: str, make_service: MakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    """Generated bad records of many sorts: one dead letter and one rejection each, in bounded memory."""
    await create_visible(topics)
    sent: list[Sent] = []
    wanted = list(bad_records(COUNT, random.Random(SEED)))
    for start in range(0, COUNT, BLOCK):
        sent += await produce(topics, wanted[start : start + BLOCK], compression="gzip")
    service = make_service(initialised_database_url, roles="intake,relay")
    begun = time.monotonic()
    service.start()
    memory = await service.meanwhile(measured(service, initialised_database_url))
    seconds = time.monotonic() - begun
    async with Follower(topics.bootstrap_servers, topics.all[4:]) as follower:
        await service.meanwhile(follower.until(lambda journal: len(journal.on(topics.dlq)) >= COUNT, "letters", 120))
        assert await service.stop() == 0
        journal = await follower.to_the_end()
    few = max(1, len(memory) // 4)
    early, late = median(memory[:few]), median(memory[-few:])
    with capsys.disabled():
        told = f"{COUNT / seconds:.0f}/s, {early:.0f} MB early, {late:.0f} MB late, {max(memory):.0f} MB at most"
        print(f"\n{COUNT} bad records in {seconds:.1f} s: {told}")  # noqa: T201  numbers to be read
    assert {place.position for place in sent} == {origin(letter.attributes) for letter in journal.on(topics.dlq)}
    assert violations(await collect(initialised_database_url, topics, sent, journal)) == []
    assert late - early < GROWTH_MEGABYTES


async def test_header_name_that_is_not_utf8_stops_nobody(
    topics: Topics, initialised_database_url: str, make_service: MakeService
) -> None:
    """A record with such a name is judged by the rest of it, and its dead letter shows the bytes of the name."""
    await create_visible(topics)
    values = [b"[%d]" % number for number in range(BATCH)]
    for codec in ("none", "zstd"):
        await produce_raw_name(topics.bootstrap_servers, topics.predict, b"odd\xff", values, codec)
    service = make_service(initialised_database_url, roles="intake,relay")
    service.start()
    async with Follower(topics.bootstrap_servers, [topics.dlq]) as follower:
        await service.meanwhile(
            follower.until(lambda journal: len(journal.on(topics.dlq)) >= 2 * BATCH, "ten dead letters")
        )
        journal = await follower.to_the_end()
    assert await service.stop() == 0
    assert len(journal.on(topics.dlq)) == 2 * BATCH
    odd = [letter for letter in journal.on(topics.dlq) if letter.value == values[ODD]]
    assert [letter.headers[:3] for letter in odd] == [(("first", b"1"), ("odd\\xff", b"odd"), ("last", None))] * 2
    assert {letter.attributes["dlq-reason"] for letter in journal.on(topics.dlq)} == {"not-an-object"}


async def measured(service: ServiceProcess, url: str) -> list[float]:
    """Megabytes of the process, again and again from when it is warm until everything is refused and published."""
    process, memory = psutil.Process(service.pid), list[float]()
    while True:
        refused = await scalar(url, REFUSED)
        if refused >= COUNT // WARM_SHARE:
            memory.append(process.memory_info().rss / MEGABYTE)
        if refused >= COUNT and not await scalar(url, "SELECT count(*) FROM forecast_consumer.outbox"):
            return memory
        await asyncio.sleep(0.1)


def origin(told: dict[str, str]) -> Position:
    partition, offset, timestamp = (int(told[f"dlq-{name}"]) for name in ("partition", "offset", "timestamp"))
    return Position(told["dlq-topic"], partition, offset, timestamp)
