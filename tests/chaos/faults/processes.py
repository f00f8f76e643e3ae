"""What happens to processes of the service."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from typing import TYPE_CHECKING

import asyncpg
import psutil

from consumer.exit_codes import ExitCode
from tests.chaos.rig import CHUNK_SECONDS, LEASE_SECONDS, LEAVE_SECONDS, SLACK_SECONDS, pause
from tests.e2e.rows import connected, scalar

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager

    from tests.chaos.fleet import Member
    from tests.chaos.proxy import Proxy
    from tests.chaos.rig import Rig

_RUNNING = "SELECT count(*) FROM forecast_consumer.command WHERE state = 'running' AND lease_owner = $1"
UP_SECONDS = 25.0
WAKING_DELAY = 0.25  # seconds a block: a heartbeat of some round trips does not come through in its time


async def sigkill(rig: Rig, randomness: random.Random, members: Sequence[Member]) -> None:
    """kill -9, at any moment of its life."""
    del rig
    member = randomness.choice(members)
    async with member.lock:
        await member.up(UP_SECONDS)
        await pause(randomness, 0, 2)
        await member.kill()


async def zombie(rig: Rig, randomness: random.Random, members: Sequence[Member]) -> None:
    """Frozen for longer than its lease while it runs a job; then it goes on as if nothing had happened."""
    member = randomness.choice([member for member in members if "worker" in member.roles])
    async with member.lock:
        await _frozen(rig, randomness, member)


async def zombie_far_away(rig: Rig, randomness: random.Random, members: Sequence[Member]) -> None:
    """The same, and the way to the database is slow when it wakes: it writes before it hears of its lost lease."""
    member = randomness.choice([member for member in members if "worker" in member.roles])
    async with member.lock, rig.servers.postgres_trouble():
        await _frozen(rig, randomness, member)
        rig.servers.postgres_proxy.delay = WAKING_DELAY
        try:
            await asyncio.sleep(LEASE_SECONDS)
        finally:
            rig.servers.postgres_proxy.delay = 0.0


async def _frozen(rig: Rig, randomness: random.Random, member: Member) -> None:
    await member.up(UP_SECONDS)
    await wait_for_job(rig, member, 5)
    member.signal(signal.SIGSTOP)
    try:
        await pause(randomness, LEASE_SECONDS + 1, LEASE_SECONDS + 2.5)
    finally:
        member.signal(signal.SIGCONT)


async def model_freeze(rig: Rig, randomness: random.Random, members: Sequence[Member]) -> None:
    """Only a model process is frozen: its owner lives and keeps the lease; now and then beyond a chunk's time."""
    member = randomness.choice([member for member in members if "worker" in member.roles])
    async with member.lock:
        await member.up(UP_SECONDS)
        await wait_for_job(rig, member, 5)
        frozen = member.model_processes()
        seconds = randomness.choice((LEASE_SECONDS + 1, CHUNK_SECONDS + 1))
        for process in frozen:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        await asyncio.sleep(seconds)
        for process in frozen:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()


async def model_kill(rig: Rig, randomness: random.Random, members: Sequence[Member]) -> None:
    """A model process dies, as of a segmentation fault."""
    member = randomness.choice([member for member in members if "worker" in member.roles])
    async with member.lock:
        await member.up(UP_SECONDS)
        await wait_for_job(rig, member, 3)
        for process in member.model_processes()[:1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        await pause(randomness, 0.5, 1.5)


async def rolling_restart(rig: Rig, randomness: random.Random, members: Sequence[Member]) -> None:
    """One after the other is stopped in good order and comes back."""
    for member in randomness.sample(members, len(members)):
        async with member.lock:
            await terminate(rig, member, "rolling restart")
            await member.up(UP_SECONDS)


async def sigterm_job_running(rig: Rig, randomness: random.Random, members: Sequence[Member]) -> None:
    member = randomness.choice([member for member in members if "worker" in member.roles])
    async with member.lock:
        await member.up(UP_SECONDS)
        await wait_for_job(rig, member, 5)
        await terminate(rig, member, "a job runs")


async def sigterm_kafka_frozen(rig: Rig, randomness: random.Random, members: Sequence[Member]) -> None:
    member = randomness.choice(members)
    async with member.lock, rig.servers.kafka_trouble():
        await member.up(UP_SECONDS)
        rig.servers.kafka.pause()
        try:
            await pause(randomness, 0.2, 1.5)
            await terminate(rig, member, "Kafka frozen")
        finally:
            rig.servers.kafka.resume()


async def sigterm_kafka_gone(rig: Rig, randomness: random.Random, members: Sequence[Member]) -> None:
    member = randomness.choice(members)
    async with member.lock, rig.servers.kafka_trouble():
        await member.up(UP_SECONDS)
        await asyncio.to_thread(rig.servers.kafka.kill)
        try:
            await pause(randomness, 0.2, 1.0)
            await terminate(rig, member, "Kafka gone")
        finally:
            await asyncio.to_thread(rig.servers.kafka.start)


async def sigterm_postgres_frozen(rig: Rig, randomness: random.Random, members: Sequence[Member]) -> None:
    member = randomness.choice(members)
    async with member.lock, rig.servers.postgres_trouble():
        await member.up(UP_SECONDS)
        rig.servers.postgres.pause()
        try:
            await pause(randomness, 0.2, 1.5)
            await terminate(rig, member, "PostgreSQL frozen")
        finally:
            rig.servers.postgres.resume()


async def clock_skew(rig: Rig, randomness: random.Random, members: Sequence[Member]) -> None:
    """Lives with clocks two hours apart, each an hour wrong."""
    del rig
    for member, hours in zip(randomness.sample(members, len(members)), (-1, 1), strict=False):
        async with member.lock:
            member.wishes = {"CHAOS_CLOCK_OFFSET": str(hours * 3600)}
            await member.kill()
            await member.up(UP_SECONDS)


async def tiny_pool(rig: Rig, randomness: random.Random, members: Sequence[Member]) -> None:
    """A life with two connections for everything, both of them waiting for a lock for a while."""
    member = randomness.choice(members)
    async with member.lock:
        member.wishes = {"CHAOS_POOL": "2"}
        await member.kill()
        await member.up(UP_SECONDS)
        async with rig.servers.postgres_trouble():
            await locked_commands(rig, randomness.uniform(1, 3))


async def locked_commands(rig: Rig, seconds: float) -> None:
    """Every statement on the commands waits for a lock."""
    async with connected(rig.url) as connection, connection.transaction():
        await connection.execute("LOCK TABLE forecast_consumer.command IN ACCESS EXCLUSIVE MODE", timeout=10)
        await asyncio.sleep(seconds)


async def database_away_then_kill(rig: Rig, randomness: random.Random, members: Sequence[Member]) -> None:
    """Intake holds a batch that it cannot persist, and dies."""
    servers = rig.servers
    await _away_then_kill(randomness, members, "intake", servers.postgres_trouble(), servers.postgres_proxy)


async def kafka_away_then_kill(rig: Rig, randomness: random.Random, members: Sequence[Member]) -> None:
    """The relay has messages in flight that the broker never gets, and dies."""
    servers = rig.servers
    await _away_then_kill(randomness, members, "relay", servers.kafka_trouble(), servers.kafka_proxy)


async def _away_then_kill(
    randomness: random.Random,
    members: Sequence[Member],
    role: str,
    trouble: AbstractAsyncContextManager[None],
    proxy: Proxy,
) -> None:
    concerned = [member for member in members if role in member.roles]
    async with contextlib.AsyncExitStack() as held:
        for member in concerned:
            await held.enter_async_context(member.lock)
            await member.up(UP_SECONDS)
        await held.enter_async_context(trouble)
        proxy.cut("blackhole")
        try:
            await pause(randomness, 2.5, 3.5)
            for member in concerned:
                await member.kill()
        finally:
            proxy.heal(deliver=False)


async def wait_for_job(rig: Rig, member: Member, within: float) -> bool:
    """Until the member runs an execution, as far as the database can be asked."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
            async with asyncio.timeout(1):
                if await scalar(rig.url, _RUNNING, f"{member.name}-{member.starts}"):
                    return True
        await asyncio.sleep(0.1)
    return False


async def terminate(rig: Rig, member: Member, state: str, *, stay_down: bool = False) -> None:
    """SIGTERM, and the promise that it is gone in time."""
    was_up = await member.up(0)
    started = time.monotonic()
    member.held_down = True
    try:
        member.signal(signal.SIGTERM)
        code = await member.ended(LEAVE_SECONDS + SLACK_SECONDS)
    finally:
        member.held_down = stay_down
    well = rig.servers.well_since(started)
    rig.history.write(
        "sigterm", member=member.name, state=state, code=code, well=well, up=was_up, seconds=_since(started)
    )
    if well and code == ExitCode.STUCK:
        rig.forced.append(f"{member.name} was ended by force though both servers were well ({state})")
    if code is None:
        rig.history.finding(f"I7: {member.name} was not gone {LEAVE_SECONDS:g} s after SIGTERM ({state}, up: {was_up})")
        await member.kill()


def _since(started: float) -> float:
    return round(time.monotonic() - started, 2)
