from __future__ import annotations

import random
import uuid
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.bad_records import MISTAKES, Mistake
from tests.e2e.commands import Outgoing, binary, plain, produce, structured
from tests.e2e.new_topics import PARTITIONS, create_visible
from tests.e2e.rows import scalar
from tests.support.evidence import collect
from tests.support.invariants import violations
from tests.support.journal import Follower, Journal, Message

if TYPE_CHECKING:
    from tests.e2e.conftest import MakeService
    from tests.e2e.sales import Catalogue
    from tests.support.evidence import Sent
    from tests.support.topics import Topics

pytestmark = [pytest.mark.broker, pytest.mark.full_broker, pytest.mark.timeout(500)]

GOOD, EACH = 900, 5


async def test_bad_records_do_not_disturb_good_neighbours(
    topics: Topics, sales_url: str, catalogue: Catalogue, make_service: MakeService
) -> None:
    """Of 1,000 mixed commands 900 end and 100, bad in twenty ways, get one dead letter and one rejection each."""
    await create_visible(topics)
    records = mixed(catalogue, random.Random(5))
    assert len(records) == GOOD + EACH * len(MISTAKES) == 1000
    sent = await produce(topics, [record for record, _ in records], compression="gzip")
    service = make_service(sales_url, worker_executions=3, compute_processes=1)
    helper = make_service(sales_url, worker_executions=3, compute_processes=1, roles="worker")
    async with Follower(topics.bootstrap_servers, topics.all[4:]) as follower:
        service.start()
        helper.start()
        await service.meanwhile(follower.until(lambda journal: len(journal.ended) >= GOOD, "900 ends", 400))
        assert (await helper.stop(), await service.stop()) == (0, 0)
        journal = await follower.to_the_end()
    assert Counter(message.data["status"] for message in journal.ended.values()) == {"CONCLUIDO": GOOD}
    assert len(journal.rejected) == len(journal.on(topics.dlq)) == 100
    for (record, mistake), place in zip(records, sent, strict=True):
        if mistake is not None:
            check_rejection(journal, mistake, place)
            check_dead_letter(journal, topics, record, mistake, place)
    assert service.events("execution_finished")
    assert helper.events("execution_finished")
    batches = service.events("batch_persisted")
    assert sum(batch["accepted"] for batch in batches) == GOOD
    assert any(batch["accepted"] and batch["refused"] for batch in batches), "no batch held both kinds"
    assert await scalar(sales_url, "SELECT count(*) FROM forecast_consumer.outbox") == 0
    assert violations(await collect(sales_url, topics, sent, journal)) == []


def mixed(catalogue: Catalogue, randomness: random.Random) -> list[tuple[Outgoing, Mistake | None]]:
    """Good and bad in one order; what answers for an earlier command stands behind it on its partition."""
    good = [replace(command, partition=number % PARTITIONS) for number, command in enumerate(commands(catalogue))]
    records: list[tuple[Outgoing, Mistake | None]] = [(command, None) for command in good]
    randomness.shuffle(records)
    named = [command for command in good if command.event_id and b"execucao_id" in (command.value or b"")]
    for mistake in MISTAKES:
        for number in range(EACH):
            before = named.pop()
            bad = replace(mistake.make(before), partition=before.partition if mistake.follows else number)
            first = records.index((before, None)) + 1 if mistake.follows else 0
            records.insert(randomness.randint(first, len(records)), (bad, mistake))
    return records


def commands(catalogue: Catalogue) -> list[Outgoing]:
    """900 commands on few products each, in every spelling and envelope."""
    found: list[Outgoing] = []
    for number in range(GOOD):
        products = catalogue.intermittent(2, skip=number)
        match number % 6:
            case 0:
                found.append(binary("predict", {"execucao_id": str(uuid.uuid4()), "produto_ids": products}))
            case 1:
                found.append(structured("predict", {"produtoIds": products, "horizonteSemanas": 4}))
            case 2:
                found.append(plain("predict", {"produto_ids": products, "modelo": "CROSTON", "gatilho": "AGENDADO"}))
            case 3:
                found.append(binary("backtest", {"produtoIds": products, "holdoutWeeks": 4}))
            case 4:
                found.append(plain("backtest", {"produto_ids": products, "priority": 1}))
            case _:
                found.append(structured("train", {"produto_ids": products, "force_retrain": True}))
    return found


def check_rejection(journal: Journal, mistake: Mistake, place: Sent) -> None:
    rejection = journal.rejected[place.position.rejection_id].data
    error = rejection["errors"][0]
    assert (error["code"], error["path"]) == (mistake.code, mistake.path), rejection
    assert mistake.says in error["message"]
    assert (rejection["source"], rejection["id"]) == place.identity


def check_dead_letter(journal: Journal, topics: Topics, record: Outgoing, mistake: Mistake, place: Sent) -> None:
    (letter,) = (message for message in journal.on(topics.dlq) if origin(message) == place.position[:3])
    key = b"" if record.key is None and record.value is None else record.key
    assert (letter.key, letter.value) == (key, record.value)
    assert letter.headers[: len(record.headers)] == record.headers
    assert letter.attributes["dlq-reason"] == mistake.code
    assert mistake.says in letter.attributes["dlq-error"]


def origin(letter: Message) -> tuple[Any, ...]:
    told = letter.attributes
    return told["dlq-topic"], int(told["dlq-partition"]), int(told["dlq-offset"])
