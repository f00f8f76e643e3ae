from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.commands import binary, plain, produce
from tests.e2e.new_topics import create_visible
from tests.e2e.rows import connected, rows, scalar
from tests.integration.test_cli import cli
from tests.support.evidence import collect, committed_offsets
from tests.support.invariants import violations
from tests.support.journal import Follower, Journal
from tests.unit.cli.invoking import isolated

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.conftest import MakeService
    from tests.e2e.sales import Catalogue
    from tests.support.topics import Topics

__all__ = ["isolated"]
pytestmark = [pytest.mark.broker, pytest.mark.full_broker]

INSERT_USER = "INSERT INTO usuario (id, email, nome, senha_hash, updated_at) VALUES ($1::text, $1, $1, '-', now())"


class Tool:
    """The command line on the topics and database of a test."""

    def __init__(self, topics: Topics, url: str) -> None:
        self._environment = {**topics.environment, "FORECAST_DATABASE_URL": url}

    async def json(self, *arguments: str, code: int = 0) -> Any:
        result = await cli(*arguments, "--json", env=self._environment)
        assert result.exit_code == code, result.stderr
        return json.loads(result.stdout)

    async def replay(self, topic: str, policy: str, *more: str) -> dict[str, int]:
        """Counts that are not 0."""
        told = await self.json("replay", topic, "--policy", policy, *more)
        [counts] = told["topics"]
        return {name: count for name, count in counts.items() if count and name != "topic"}


def ends(count: int) -> Callable[[Journal], bool]:
    return lambda journal: len(journal.ended) == count


def contents(journal: Journal) -> set[tuple[object, ...]]:
    return {message.content for message in journal.messages}


async def test_each_policy_does_its_part_once(
    topics: Topics, sales_url: str, catalogue: Catalogue, make_service: MakeService
) -> None:
    """Missing runs what was lost, reemit tells the same bytes, rerun repeats; again each does nothing new."""
    await create_visible(topics)
    products = catalogue.intermittent(3)
    commands = [binary("predict", {"produto_ids": products}) for _ in range(2)]
    sent = await produce(topics, [*commands, plain("predict", {"priority": 99}).bad()])
    tool = Tool(topics, sales_url)
    service = make_service(sales_url)
    service.start()
    async with Follower(topics.bootstrap_servers, topics.all[4:]) as follower:
        await service.meanwhile(follower.until(ends(2), "two ends", 60))
        offsets = await committed_offsets(topics)

        assert await tool.replay(topics.predict, "missing") == {"records": 3, "duplicates": 2, "bad": 1}
        before = contents(await follower.to_the_end())
        for _ in range(2):
            told = await tool.replay(topics.predict, "reemit")
            assert (told["reemitted"], told["events"], told["bad"]) == (2, 22, 1)
        await service.meanwhile(until_sent(sales_url, follower))
        assert contents(follower.journal) == before
        assert len(follower.journal.messages) >= len(before) + 44

        assert await tool.replay(topics.predict, "rerun", "--dry-run") == {"records": 3, "run": 2, "bad": 1}
        assert await tool.replay(topics.predict, "rerun", "--yes") == {"records": 3, "run": 2, "bad": 1}
        await service.meanwhile(follower.until(ends(4), "two more ends", 60))
        assert await tool.replay(topics.predict, "rerun", "--yes") == {"records": 3, "duplicates": 2, "bad": 1}

        await forget(sales_url, commands[0].event_id)
        assert await tool.replay(topics.predict, "missing", "--dry-run") == {
            "records": 3,
            "run": 1,
            "duplicates": 1,
            "bad": 1,
        }
        assert (await tool.replay(topics.predict, "missing"))["run"] == 1
        await service.meanwhile(follower.until(ends(5), "the lost one", 60))
        assert await tool.replay(topics.predict, "missing") == {"records": 3, "duplicates": 2, "bad": 1}
        await follower.to_the_end()
        assert await committed_offsets(topics) == offsets
        assert await service.stop() == 0
    pairs = await rows(
        sales_url, "SELECT replay_of, execucao_id FROM forecast_consumer.command WHERE replay_of IS NOT NULL"
    )
    assert len(pairs) == 2
    for original, again in pairs:
        told = await tool.json("executions", "diff", original, again)
        assert (told["equal"], told["forecasts"]["rows_a"]) == (True, 3 * 13 * 2)
    assert sum(item.good for item in sent) == 2


async def forget(url: str, event_id: str | None) -> None:
    """As if the command had never been taken; its execution stays, as one of another time."""
    async with connected(url) as connection:
        await connection.execute("DELETE FROM forecast_consumer.command WHERE event_id = $1", event_id)


async def until_sent(url: str, follower: Follower) -> None:
    """Wait until the outbox is empty and everything that was in it has been read."""
    while await scalar(url, "SELECT count(*) FROM forecast_consumer.outbox"):
        pass
    await follower.to_the_end()


async def test_retried_letter_runs_once(
    topics: Topics, sales_url: str, catalogue: Catalogue, make_service: MakeService
) -> None:
    """A command of an unknown user runs once the user exists, with its identity, however often it is put back."""
    await create_visible(topics)
    data = {"produto_ids": catalogue.intermittent(2), "created_by": "late"}
    sent = await produce(
        topics, [binary("predict", data).bad(), plain("train", data).bad(), plain("train", {"x": 1}).bad()]
    )
    tool, service = Tool(topics, sales_url), make_service(sales_url)
    service.start()
    async with Follower(topics.bootstrap_servers, topics.all[4:]) as follower:
        await service.meanwhile(follower.until(lambda journal: len(journal.rejected) == 3, "rejections", 60))
        listed = await tool.json("dlq", "list", "--reason", "unknown-user")
        assert {(one["source"], one["id"]) for one in listed} == {item.identity for item in sent[:2]}
        shown = await tool.json("dlq", "show", listed[0]["position"])
        assert shown["original"]["topic"] in (topics.predict, topics.train)
        assert json.loads(shown["value"]["text"]) == data

        async with connected(sales_url) as connection:
            await connection.execute(INSERT_USER, "late")
        assert (await tool.json("dlq", "retry", "--reason", "unknown-user", "--dry-run"))["done"] == 0
        assert (await tool.json("dlq", "retry", "--reason", "unknown-user", "--yes"))["done"] == 2
        await service.meanwhile(follower.until(ends(2), "both ends", 60))
        assert (await tool.json("dlq", "retry", "--reason", "unknown-user", "--yes"))["found"] == 0
        assert (await tool.json("dlq", "retry", "--reason", "unknown-user", "--yes", "--again"))["done"] == 2
        replayed = [await tool.replay(topic, "missing") for topic in (topics.predict, topics.train)]
        assert replayed == [{"records": 3, "duplicates": 3}, {"records": 4, "duplicates": 3, "bad": 1}]

        [left] = await tool.json("dlq", "list")
        assert left["reason"] == "unknown-field"
        assert (await tool.json("dlq", "discard", left["position"], "--yes"))["done"] == 1
        assert await tool.json("dlq", "list") == []
        decided = {one["position"]: one["decision"] for one in await tool.json("dlq", "list", "--all")}
        assert sorted(decided.values()) == ["discarded", "retried", "retried"]
        await service.until(lambda: duplicates(service.events("batch_persisted")) == 2, "the duplicates")
        await follower.to_the_end()
        assert await service.stop() == 0
        journal = follower.journal
    assert len(journal.ended) == 2
    identities = {item.identity for item in sent[:2]}
    found = await rows(sales_url, "SELECT source, event_id FROM forecast_consumer.command")
    assert set(found) == identities
    assert len(found) == 2
    assert len(journal.on(topics.dlq)) == 3


def duplicates(batches: list[dict[str, Any]]) -> int:
    return sum(batch["duplicates"] for batch in batches)


async def test_replay_by_hand_keeps_the_invariants(
    topics: Topics, sales_url: str, catalogue: Catalogue, make_service: MakeService
) -> None:
    """After a replay of every topic while the service works, no invariant is broken."""
    await create_visible(topics)
    kinds = ("predict", "train", "backtest")
    sent = await produce(topics, [binary(kind, {"produto_ids": catalogue.intermittent(2)}) for kind in kinds])
    tool, service = Tool(topics, sales_url), make_service(sales_url)
    service.start()
    async with Follower(topics.bootstrap_servers, topics.all[4:]) as follower:
        for policy in ("missing", "reemit"):
            await tool.json("replay", *topics.all[:4], "--policy", policy)
        await service.meanwhile(follower.until(ends(3), "three ends", 60))
        await tool.json("replay", *topics.all[:4], "--policy", "reemit")
        await service.meanwhile(until_sent(sales_url, follower))
        assert await service.stop() == 0
        journal = await follower.to_the_end()
    assert violations(await collect(sales_url, topics, sent, journal)) == []
