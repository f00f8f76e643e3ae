from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaProducer

from consumer.exit_codes import ExitCode
from schemas.replies import dead_letter_headers
from tests.builders import record
from tests.integration.test_cli import cli, first_record
from tests.unit.cli.invoking import isolated

if TYPE_CHECKING:
    from schemas.records import RawRecord
    from tests.support.topics import Topics

__all__ = ["isolated"]
pytestmark = pytest.mark.broker


async def publish(topics: Topics, *items: tuple[str, RawRecord]) -> None:
    """Records with their headers, each to partition 0 of a topic."""
    async with AIOKafkaProducer(bootstrap_servers=topics.bootstrap_servers, acks="all") as producer:
        for topic, raw in items:
            await producer.send_and_wait(topic, raw.value, raw.key, partition=0, headers=list(raw.headers))


def letter(topic: str, value: bytes = b"\xff?", reason: str = "invalid-utf8") -> RawRecord:
    """The dead letter of a record that stood at 3/14 of a topic."""
    raw = replace(record(value=value, offset=14, partition=3), topic=topic)
    return replace(raw, headers=dead_letter_headers(raw, reason, [f"{reason}, said at length"]))


@pytest.fixture
def environment(topics: Topics, initialised_database_url: str) -> dict[str, str]:
    return {**topics.environment, "FORECAST_DATABASE_URL": initialised_database_url}


async def test_letters_are_shown_to_people(topics: Topics, environment: dict[str, str]) -> None:
    """The list has reason and place, a foreign record is told of on stderr, and bytes are shown as a dump."""
    await topics.create()
    await publish(topics, (topics.dlq, letter(topics.train)), (topics.dlq, record()), (topics.dlq, letter("other")))
    listed = await cli("dlq", "list", "--limit", "1", env=environment)
    assert listed.exit_code == 0
    assert all(part in listed.stdout for part in ("0/0", "invalid-utf8", f"{topics.train}/3/14", "said at length"))
    assert "other" not in listed.stdout
    assert f"{topics.dlq}/0/1 is no dead letter" in listed.stderr
    assert "1 more match" in listed.stderr
    shown = await cli("dlq", "show", "0/0", env=environment)
    assert "00000000  ff 3f" in shown.stdout
    absent = await cli("dlq", "show", "0/1", env=environment)
    assert (absent.exit_code, absent.stdout) == (ExitCode.FAILED, "")


async def test_letter_of_an_unknown_topic_is_not_put_back(topics: Topics, environment: dict[str, str]) -> None:
    """What came from a topic that is not ours any more stays where it is, with code 1 and the reason."""
    await topics.create()
    await publish(topics, (topics.dlq, letter("other")), (topics.dlq, letter(topics.train, b"{}", "unknown-user")))
    dry = await cli("dlq", "retry", "0/0", "0/1", "0/9", "--dry-run", env=environment)
    assert dry.stdout.endswith("retry: 2 would be dealt with\n")
    assert "0/9" in dry.stderr
    done = await cli("dlq", "retry", "0/0", "0/1", "--yes", env=environment)
    assert (done.exit_code, done.stdout.endswith("retry: 1 of 2 done\n")) == (ExitCode.FAILED, True)
    assert "0/0 was not put back: other is no command topic" in done.stderr
    back = await first_record(topics, topics.train)
    assert (back.key, back.value) == (b"key", b"{}")
    assert back.headers == (("idempotency-key", b"3/14/1014"),)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("replay", "predict", "--from-offset", "99:0", "--dry-run"), "--from-offset names partition 99; "),
        (("replay", "predict", "--to-offset", "7:3"), "--to-offset names partition 7; "),
        (("dlq", "show", "99/0"), "position 99/0 names partition 99; "),
        (("dlq", "retry", "0/0", "99/0", "--dry-run"), "position 99/0 names partition 99; "),
    ],
)
async def test_absent_partition_is_a_usage_error(
    topics: Topics, environment: dict[str, str], arguments: tuple[str, ...], told: str
) -> None:
    """Who names a partition that the topic does not have is told which ones it has."""
    await topics.create(topics.predict, topics.dlq, partitions=4)  # as many as the embedded broker has
    topic = {"replay": topics.predict, "dlq": topics.dlq}[arguments[0]]
    result = await cli(*(topics.predict if word == "predict" else word for word in arguments), env=environment)
    assert (result.exit_code, result.stdout) == (ExitCode.USAGE, "")
    assert result.stderr == f"forecast-consumer: {told}{topic} has 0 to 3\n"


async def test_position_without_a_letter_is_a_failure(topics: Topics, environment: dict[str, str]) -> None:
    """Positions that are not there are named and cost the exit code, the others are dealt with all the same."""
    await topics.create()
    await publish(topics, *[(topics.dlq, letter(topics.train))] * 2)
    for given in (("--dry-run",), ("--yes",), ("--yes", "--json")):
        result = await cli("dlq", "retry", "0/77", *given, env=environment)
        assert (result.exit_code, "0/77" in result.stderr) == (ExitCode.FAILED, True)
    assert json.loads(result.stdout)["missing"] == ["0/77"]
    some = await cli("dlq", "discard", "0/0", "0/77", "--yes", env=environment)
    assert (some.exit_code, some.stdout.endswith("discard: 1 of 1 done\n")) == (ExitCode.FAILED, True)
    cut = await cli("dlq", "discard", "0/0", "0/1", "--again", "--limit", "1", "--yes", env=environment)
    assert (cut.exit_code, cut.stderr) == (ExitCode.OK, "")


async def test_replay_is_told_to_people(topics: Topics, environment: dict[str, str]) -> None:
    """A dry run says what would happen, the replay that it is done, and what other policy would help."""
    await topics.create()
    await publish(topics, (topics.predict, record(event_id="a")), (topics.predict, record(value=b"?")))
    dry = await cli("replay", topics.predict, "--dry-run", env=environment)
    assert "missing: what would happen" in dry.stdout
    assert "new letters" in dry.stdout
    rerun = await cli("replay", topics.predict, "--policy", "rerun", "--dry-run", env=environment)
    assert "1 records have no execution to repeat" in rerun.stderr
    limited = await cli("replay", topics.predict, topics.cancel, "--limit", "1", "--json", env=environment)
    counts = {one["topic"]: (one["records"], one["run"]) for one in json.loads(limited.stdout)["topics"]}
    assert counts == {topics.predict: (1, 1), topics.cancel: (0, 0)}


@pytest.mark.parametrize("options", [(), ("--dry-run",), ("--policy", "reemit", "--dry-run")], ids=" ".join)
async def test_nothing_is_replayed_into_a_database_without_our_tables(
    topics: Topics, database_url: str, options: tuple[str, ...]
) -> None:
    """A database that is not as it must be is told of before any record is refused for it, or looked up in it."""
    await topics.create()
    await publish(topics, (topics.predict, record(event_id="a")))
    env = {**topics.environment, "FORECAST_DATABASE_URL": database_url}
    result = await cli("replay", topics.predict, *options, env=env)
    assert (result.exit_code, result.stdout) == (ExitCode.SCHEMA, "")
    assert "none of the backend's tables" in result.stderr
