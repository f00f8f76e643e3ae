from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from consumer.cli.failure import INTERRUPTED, TIMED_OUT
from consumer.client.client import ForecastClient
from consumer.client.errors import ClientError
from consumer.client.replies import ReplyReader
from consumer.demo.processes import free_port
from consumer.exit_codes import ExitCode
from consumer.settings import Settings
from schemas.commands import RunForecast, TrainForecast
from schemas.enums import TopicKind
from schemas.envelope import receive
from schemas.records import RawRecord
from tests.unit.cli.invoking import invoke, isolated
from tests.unit.client.events import EXECUTION, record, rejection, status, step

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from typer.testing import Result

    from tests.support.topics import Topics

__all__ = ["isolated"]

SECONDS = 30


async def cli(*arguments: str, env: dict[str, str] | None = None) -> Result:
    """The result of a command, run in a thread because it brings an event loop of its own."""
    return await asyncio.to_thread(invoke, *arguments, env=env)


async def publish(topics: Topics, *records: RawRecord) -> None:
    """Put records on the topics as the service would."""
    async with AIOKafkaProducer(bootstrap_servers=topics.bootstrap_servers, acks="all") as producer:
        for item in records:
            await producer.send_and_wait(item.topic, item.value, item.key, headers=list(item.headers))


async def first_record(topics: Topics, topic: str) -> RawRecord:
    """Wait for the first record of a topic."""
    async with asyncio.timeout(SECONDS):
        servers = topics.bootstrap_servers
        async with AIOKafkaConsumer(topic, bootstrap_servers=servers, auto_offset_reset="earliest") as consumer:
            got = await consumer.getone()
    return RawRecord(got.topic, got.partition, got.offset, got.timestamp, got.key, got.value, tuple(got.headers))


def replies(topics: Topics, command_id: str) -> list[RawRecord]:
    """What the service answers to a train command that ends well; the second event is delivered twice."""
    told = [
        record(status("PENDENTE", 1), causation_id=command_id, topic=topics.status),
        *[record(status("EXECUTANDO", 2, percent=40), causation_id=command_id, topic=topics.status)] * 2,
        record(step(10, "COMPLETED", 1), causation_id=command_id, topic=topics.step_log),
    ]
    return [*told, record(status("CONCLUIDO", 3), causation_id=command_id, topic=topics.status)]


@asynccontextmanager
async def answering(topics: Topics, *, reject: bool = False) -> AsyncIterator[None]:
    """A stand-in for the service: answers the first train command."""

    async def answer() -> None:
        raw = await first_record(topics, topics.train)
        envelope = receive(raw, TopicKind.TRAIN).envelope
        refusal = record(rejection(envelope.id, envelope.source), topic=topics.status)
        await publish(topics, *([refusal] if reject else replies(topics, envelope.id)))

    task = asyncio.create_task(answer())
    yield
    await asyncio.wait_for(task, SECONDS)


@pytest.mark.broker
@pytest.mark.full_broker
async def test_topics_create_makes_what_is_missing_and_only_that(topics: Topics) -> None:
    """Create, list and check agree; creating again changes nothing; a missing topic is named with code 5."""
    await topics.create(topics.status, partitions=2)
    missing = await cli("topics", "check", env=topics.environment)
    assert missing.exit_code == ExitCode.BROKER
    assert topics.train in missing.stderr
    assert "topics create" in missing.stderr
    made = await cli("topics", "create", "--partitions", "3", "--json", env=topics.environment)
    assert set(json.loads(made.stdout)["created"]) == set(topics.all) - {topics.status}
    topics.created.extend(json.loads(made.stdout)["created"])
    again = await cli("topics", "create", env=topics.environment)
    assert (again.exit_code, again.stdout) == (0, "all topics exist\n")
    listed = await cli("topics", "list", "--json", env=topics.environment)
    found = {row["topic"]: row["partitions"] for row in json.loads(listed.stdout)}
    assert found == {name: 2 if name == topics.status else 3 for name in topics.all}
    assert (await cli("topics", "check", env=topics.environment)).exit_code == 0


@pytest.mark.broker
async def test_sent_record_is_what_the_contract_says(topics: Topics) -> None:
    """What ``send`` puts on the topic is read by the service as that command, and stdout has its id alone."""
    await topics.create()
    given = ("--produto-id", "a", "--horizonte-semanas", "26", "--correlation-id", "corr", "--expires-in", "1h")
    sent = await cli("send", "predict", *given, env=topics.environment)
    assert sent.exit_code == 0
    raw = await first_record(topics, topics.predict)
    read = receive(raw, TopicKind.PREDICT)
    assert read.command == RunForecast(produto_ids=("a",), horizonte_semanas=26)
    assert (read.envelope.id, read.envelope.source) == (sent.stdout.strip(), "/forecast-consumer/client")
    assert (read.envelope.type, read.envelope.correlation_id) == ("forecast.predict.v1", "corr")
    assert read.envelope.time is not None
    assert read.envelope.expires_at is not None
    assert (read.envelope.expires_at - read.envelope.time).total_seconds() == 3600
    assert dict(raw.headers)["content-type"] == b"application/json"


@pytest.mark.broker
async def test_wait_follows_to_the_end(topics: Topics) -> None:
    """``--wait --json`` prints the command, then each event once, and ends with 0 on CONCLUIDO."""
    await topics.create()
    async with answering(topics):
        result = await cli("send", "train", "--wait", "--timeout", "30", "--json", env=topics.environment)
    assert (result.exit_code, result.stderr) == (0, "")
    sent, *events = [json.loads(line) for line in result.stdout.splitlines()]
    assert sent["event"] == "sent"
    assert {event["causation_id"] for event in events} == {sent["id"]}
    statuses = [event["data"]["status"] for event in events if event["type"] == "forecast.status.v1"]
    assert statuses == ["PENDENTE", "EXECUTANDO", "CONCLUIDO"]
    assert [event["data"]["step_order"] for event in events if event["type"] == "forecast.step-log.v1"] == [10]


@pytest.mark.broker
async def test_wait_ends_with_the_rejection(topics: Topics) -> None:
    """A rejected command ends with 1 and its reasons."""
    await topics.create()
    async with answering(topics, reject=True):
        result = await cli("send", "train", "--wait", "--timeout", "30", env=topics.environment)
    assert result.exit_code == ExitCode.FAILED
    assert "was rejected: priority is the integer 12" in result.stderr


@pytest.mark.broker
async def test_wait_gives_up_after_its_timeout(topics: Topics) -> None:
    """Without a service the wait ends after the timeout with its own code and a hint."""
    await topics.create()
    result = await cli("send", "train", "--wait", "--timeout", "0.2", env=topics.environment)
    assert result.exit_code == TIMED_OUT
    assert "is the service running?" in result.stderr


@pytest.mark.broker
async def test_client_follows_many_commands_at_once(topics: Topics) -> None:
    """Each of several commands gets its own events, also those told before it is followed."""
    await topics.create()
    async with ForecastClient(Settings(**topics.settings)) as client:  # type: ignore[arg-type]  # names only
        first = await client.send(TrainForecast(priority=1))
        second = await client.send(TrainForecast(priority=2))
        refusal = record(rejection(second.id, second.source), topic=topics.status)
        await publish(topics, refusal, *replies(topics, first.id))
        of_second = [event.terminal async for event in client.follow(second, SECONDS)]
        of_first = [event.id async for event in client.follow(first, SECONDS) if event.execucao_id == EXECUTION]
    assert of_second == [True]
    statuses = [f"{EXECUTION}:status:{number}" for number in (1, 2, 3)]
    assert [name for name in of_first if ":status:" in name] == statuses


@pytest.mark.broker
async def test_watch_shows_each_event_once(topics: Topics) -> None:
    """``watch`` gives the events of the executions asked for, drops duplicates and tells of foreign records."""
    await topics.create()
    foreign = replace(record(status("PENDENTE", 1), topic=topics.status), headers=())
    await publish(topics, foreign, *replies(topics, "c-1"))
    given = ("--from-beginning", "--limit", "4", "--execucao-id", EXECUTION)
    result = await cli("watch", *given, "--json", env=topics.environment)
    names = sorted(json.loads(line)["id"] for line in result.stdout.splitlines())
    assert names == [*(f"{EXECUTION}:status:{number}" for number in (1, 2, 3)), f"{EXECUTION}:step:1"]
    assert "is no event: ce_type is None" in result.stderr
    people = await cli("watch", *given, env=topics.environment)
    assert people.stdout.count(EXECUTION) == 4


@pytest.mark.broker
async def test_reader_begins_where_the_topics_end(topics: Topics) -> None:
    """What was told before a reader opened is not read; what is told once it is open is not missed."""
    await topics.create()
    await publish(topics, record(status("PENDENTE", 1), topic=topics.status))
    async with ReplyReader(Settings(**topics.settings)) as reader:  # type: ignore[arg-type]  # names only
        await publish(topics, record(status("EXECUTANDO", 2), topic=topics.status))
        async with asyncio.timeout(SECONDS):
            while not (events := await reader.read()):
                pass
    assert [event.id for event in events] == [f"{EXECUTION}:status:2"]


@pytest.mark.broker
@pytest.mark.full_broker
async def test_missing_topic_is_told_at_once(topics: Topics) -> None:
    """A client of a cluster without the topics says which are missing instead of waiting for them."""
    await topics.create(*set(topics.all) - {topics.step_log})
    with pytest.raises(ClientError, match=rf"has no topic {topics.step_log}; run .*topics create"):
        async with ForecastClient(Settings(**topics.settings)):  # type: ignore[arg-type]  # names only
            pass


@pytest.mark.parametrize(
    "arguments", [("send", "train"), ("watch",), ("topics", "list"), ("topics", "create")], ids=" ".join
)
async def test_absent_broker_is_one_line(arguments: tuple[str, ...]) -> None:
    """Without a broker each command says where it looked, with code 5."""
    address = f"127.0.0.1:{free_port()}"
    result = await cli(*arguments, env={"FORECAST_BOOTSTRAP_SERVERS": address})
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (ExitCode.BROKER, "", 1)
    assert f"no broker answers at {address}" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [("db", "check"), ("db", "migrate"), ("db", "init"), ("executions", "list"), ("models", "list")],
    ids=" ".join,
)
async def test_absent_database_is_one_line(arguments: tuple[str, ...]) -> None:
    """Without a database each command says where it looked, with code 3 and without the password."""
    url = f"postgresql://user:geheim@127.0.0.1:{free_port()}/planning"
    result = await cli(*arguments, env={"FORECAST_DATABASE_URL": url})
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (ExitCode.DATABASE, "", 1)
    assert "nothing listens there" in result.stderr
    assert "geheim" not in result.stderr


async def test_empty_database_is_set_up_once(database_url: str) -> None:
    """An empty database differs, ``init`` sets it up, then all is well, and a second ``init`` is refused."""
    env = {"FORECAST_DATABASE_URL": database_url}
    before = await cli("db", "check", "--json", env=env)
    assert before.exit_code == ExitCode.SCHEMA
    assert {row["table"] for row in json.loads(before.stdout)["differences"]} >= {"serie_temporal", "produto"}
    unread = await cli("executions", "list", env=env)
    assert unread.exit_code == ExitCode.SCHEMA
    assert "db check" in unread.stderr
    assert (await cli("db", "init", env=env)).exit_code == 0
    after = await cli("db", "check", env=env)
    assert (after.exit_code, after.stderr) == (0, "")
    again = await cli("db", "init", env=env)
    assert again.exit_code == ExitCode.SCHEMA
    assert "not empty" in again.stderr


async def test_every_difference_is_named(initialised_database_url: str) -> None:
    """``db check`` names table and column of each difference, and ``migrate`` brings back our own schema."""
    connection = await asyncpg.connect(initialised_database_url)
    await connection.execute(
        "ALTER TABLE forecast_modelo DROP COLUMN is_champion; DROP SCHEMA forecast_consumer CASCADE"
    )
    await connection.close()
    env = {"FORECAST_DATABASE_URL": initialised_database_url}
    differing = await cli("db", "check", env=env)
    assert differing.exit_code == ExitCode.SCHEMA
    assert "forecast_modelo" in differing.stderr
    assert "is_champion" in differing.stderr
    assert "db migrate" in differing.stderr
    assert "from revision none to" in (await cli("db", "migrate", env=env)).stdout
    assert "already" in (await cli("db", "migrate", env=env)).stdout


async def test_executions_are_listed_and_shown(initialised_database_url: str) -> None:
    """``list`` filters and ``show`` has the execution, its steps, counts and command; stdout is clean JSON."""
    connection = await asyncpg.connect(initialised_database_url)
    await connection.execute(SEED, EXECUTION)
    await connection.close()
    env = {"FORECAST_DATABASE_URL": initialised_database_url}
    listed = await cli("executions", "list", "--status", "ERRO", "--tipo", "FORECAST", "--json", env=env)
    (row,) = json.loads(listed.stdout)
    assert (row["id"], row["status"], row["error_message"]) == (EXECUTION, "ERRO", "no data")
    assert json.loads((await cli("executions", "list", "--status", "PENDENTE", "--json", env=env)).stdout) == []
    shown: dict[str, Any] = json.loads((await cli("executions", "show", EXECUTION, "--json", env=env)).stdout)
    assert shown["counts"] == {"results": 0, "metrics": 0, "models": 0}
    assert shown["command"] is None
    people = await cli("executions", "show", EXECUTION, env=env)
    assert people.exit_code == 0
    assert all(part in people.stdout for part in (EXECUTION, "no data", "ERRO"))
    assert json.loads((await cli("models", "list", "--json", env=env)).stdout) == []
    unknown = await cli("executions", "show", "nope", env=env)
    assert (unknown.exit_code, unknown.stdout) == (ExitCode.FAILED, "")
    assert "there is no execution 'nope'" in unknown.stderr


SEED = """
    INSERT INTO execucao_planejamento (id, tipo, status, gatilho, error_message)
    VALUES ($1, 'FORECAST', 'ERRO', 'MANUAL', 'no data')"""


@asynccontextmanager
async def process(
    *arguments: str, env: dict[str, str], stdin: int | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command line as a process of its own, ended with the block."""
    pipe = asyncio.subprocess.PIPE
    program = (sys.executable, "-m", "consumer", *arguments)
    started = await asyncio.create_subprocess_exec(*program, env=env, stdin=stdin, stdout=pipe, stderr=pipe)
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
            await started.wait()


async def test_service_without_database_is_one_line() -> None:
    """``run`` ends with code 3 and one line beside its log when no database answers."""
    env = {
        "FORECAST_DATABASE_URL": f"postgresql://user:geheim@127.0.0.1:{free_port()}/planning",
        "FORECAST_STARTUP_WAIT_SECONDS": "0",
        "FORECAST_ADMIN_PORT": "0",
    }
    async with process("run", env=env) as service:
        stdout, stderr = await asyncio.wait_for(service.communicate(), 60)
    told = [line for line in stderr.decode().splitlines() if not line.startswith("{")]
    assert (service.returncode, stdout, len(told)) == (ExitCode.DATABASE, b"", 1)
    assert "nothing listens there" in told[0]
    assert b"geheim" not in stderr


@pytest.mark.broker
async def test_interrupt_ends_watch_quietly(topics: Topics) -> None:
    """Ctrl-C ends ``watch`` with code 130 and a short line, no traceback."""
    await topics.create()
    async with process("watch", env=topics.environment) as watching:
        assert watching.stderr is not None
        assert b"watching" in await asyncio.wait_for(watching.stderr.readline(), 60)
        watching.send_signal(signal.SIGINT)
        _, stderr = await asyncio.wait_for(watching.communicate(), SECONDS)
    assert (watching.returncode, stderr) == (INTERRUPTED, b"forecast-consumer: interrupted\n")


async def test_interrupt_at_a_question_is_an_interrupt() -> None:
    """Ctrl-C where a question waits for its answer ends with code 130 as anywhere else, an end of input with 1."""
    keyboard, terminal = pty.openpty()
    for end, code, told in (("SIGINT", INTERRUPTED, b"forecast-consumer: interrupted\n"), ("^D", 1, b"Aborted")):
        async with process("replay", "forecast.train", "--older", env={}, stdin=terminal) as asking:
            assert asking.stderr is not None
            await asyncio.wait_for(asking.stderr.readuntil(b"[y/N]:"), 60)
            if end == "SIGINT":
                asking.send_signal(signal.SIGINT)
            else:
                os.write(keyboard, b"\x04")
            _, stderr = await asyncio.wait_for(asking.communicate(), SECONDS)
        assert (asking.returncode, told in stderr, b"Traceback" in stderr) == (code, True, False)
    os.close(keyboard)
    os.close(terminal)
