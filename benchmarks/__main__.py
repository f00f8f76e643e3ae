"""``python -m benchmarks [COMMANDS]``: how fast intake makes commands durable, on a real Kafka and a real PostgreSQL.

Five rounds, each on fresh topics and a fresh database with fsync on; the median and the spread are printed. A round
ends when every command is a row of the command table and an execution, and every offset is committed.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
import uuid
from typing import TYPE_CHECKING

import asyncpg
from aiokafka import AIOKafkaProducer

from consumer.bootstrap import open_intake
from consumer.clock import SystemClock
from consumer.db.setup import initialise
from consumer.demo.embedded_postgres import EmbeddedPostgres
from consumer.kafka.topics import create_topics
from consumer.roles import Parts
from consumer.settings import Settings
from consumer.telemetry.logs import configure
from consumer.telemetry.metrics import Metrics
from tests.support.brokers import choose_broker
from tests.support.databases import temporary_database

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ROUNDS = 5


async def main(server_url: str, bootstrap_servers: str, commands: int) -> None:
    """Print one line a round and the median."""
    rates: list[float] = []
    for number in range(1, ROUNDS + 1):
        async with temporary_database(server_url) as url:
            rate = await one_round(url, bootstrap_servers, commands)
        rates.append(rate)
        print(f"round {number}: {rate:8.0f} commands/s")
    median = statistics.median(rates)
    print(f"intake: median {median:.0f} commands/s of {commands} commands, from {min(rates):.0f} to {max(rates):.0f}")


async def one_round(url: str, bootstrap_servers: str, commands: int) -> float:
    """Commands a second of one process."""
    await initialise(url)
    prefix = f"bench-{uuid.uuid4().hex[:8]}."
    kinds = ("train", "predict", "backtest", "cancel", "status", "step_log", "dlq")
    topics = {f"topic_{kind}": f"{prefix}{kind}" for kind in kinds}
    settings = Settings(database_url=url, bootstrap_servers=bootstrap_servers, group_id=prefix, **topics)
    await create_topics(settings, partitions=6, replication=1)
    await produce(settings, commands)
    seen = 0
    done = asyncio.Event()

    def count(records: int) -> None:
        nonlocal seen
        seen += records
        if seen >= commands:
            done.set()

    async with open_intake(Parts(settings, SystemClock(), Metrics(), asyncio.Event())) as intake:
        started = time.perf_counter()
        while not done.is_set():
            count(await intake.run_once(asyncio.Event()))
        seconds = time.perf_counter() - started
    await check(url, commands)
    return commands / seconds


async def produce(settings: Settings, commands: int) -> None:
    """Distinct valid predicts in CloudEvents' binary mode."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers, linger_ms=5, max_batch_size=256 * 1024)
    await producer.start()
    try:
        for number in range(commands):
            identity = str(uuid.uuid4()).encode()
            headers = [("ce_specversion", b"1.0"), ("ce_id", identity), ("ce_source", b"/benchmark")]
            headers += [("ce_type", b"forecast.predict"), ("content-type", b"application/json")]
            value = b'{"produto_ids":["p%d"],"horizonte_semanas":13,"gatilho":"AGENDADO","priority":3}' % number
            await producer.send(settings.topic_predict, value=value, key=identity, headers=headers)
        await producer.flush()
    finally:
        await producer.stop()


async def check(url: str, commands: int) -> None:
    """A rate counts only if everything is there."""
    connection = await asyncpg.connect(url)
    try:
        for table in ("forecast_consumer.command", "execucao_planejamento", "forecast_consumer.outbox"):
            found = await connection.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 - the names above
            if found != commands:
                raise RuntimeError(f"{table} holds {found} rows instead of {commands}")
    finally:
        await connection.close()


def run(measure: Callable[[str, str, int], Awaitable[None]], commands: int) -> None:
    """With servers of our own, which end with us."""
    configure("console", "warning")
    broker = choose_broker(os.environ).broker
    broker.start()
    try:
        with EmbeddedPostgres(durable=True) as server:
            asyncio.run(measure(server.url(), broker.bootstrap_servers, commands))  # type: ignore[arg-type]
    finally:
        broker.close()


if __name__ == "__main__":
    run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
