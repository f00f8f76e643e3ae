"""What happens to the database and to the way there."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING

import asyncpg

from tests.chaos.faults import network
from tests.chaos.faults.processes import locked_commands
from tests.chaos.rig import pause
from tests.chaos.servers import MAX_CONNECTIONS
from tests.e2e.rows import connected

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from tests.chaos.fleet import Member
    from tests.chaos.rig import Rig

_TERMINATE = """
    SELECT pg_terminate_backend(pid) FROM (
        SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'forecast-consumer%' ORDER BY random() LIMIT $1
    ) AS victim"""
_WRITING = """
    SELECT pid FROM pg_stat_activity
     WHERE application_name LIKE 'forecast-consumer work%' AND backend_xid IS NOT NULL AND xact_start IS NOT NULL
     ORDER BY random() LIMIT 1"""
LOCKED_SECONDS = 3.0


async def postgres_reset(rig: Rig, randomness: random.Random, _: Sequence[Member]) -> None:
    async with rig.servers.postgres_trouble():
        await network.resets(rig.servers.postgres_proxy, randomness)


async def postgres_blackhole(rig: Rig, randomness: random.Random, _: Sequence[Member]) -> None:
    async with rig.servers.postgres_trouble():
        await network.cut(rig.servers.postgres_proxy, "blackhole", randomness)


async def postgres_one_way(rig: Rig, randomness: random.Random, _: Sequence[Member]) -> None:
    async with rig.servers.postgres_trouble():
        await network.cut(rig.servers.postgres_proxy, "one_way", randomness)


async def postgres_half_response(rig: Rig, randomness: random.Random, _: Sequence[Member]) -> None:
    async with rig.servers.postgres_trouble():
        await network.halve(rig.servers.postgres_proxy, randomness)


async def postgres_slow(rig: Rig, randomness: random.Random, _: Sequence[Member]) -> None:
    async with rig.servers.postgres_trouble():
        await network.slow(rig.servers.postgres_proxy, randomness)


async def commit_reply_lost(rig: Rig, randomness: random.Random, _: Sequence[Member]) -> None:
    """Committed, and the client never hears of it."""
    async with rig.servers.postgres_trouble():
        proxy = rig.servers.postgres_proxy
        for _attempt in range(3):
            proxy.lost_commits = randomness.randint(1, 5)
            await pause(randomness, 0.3, 1)
        proxy.lost_commits = 0


async def backends_terminated(rig: Rig, randomness: random.Random, _: Sequence[Member]) -> None:
    """One to five a second."""
    async with rig.servers.postgres_trouble(), connected(rig.url) as connection:
        for _second in range(3):
            await connection.execute(_TERMINATE, randomness.randint(1, 5))
            await asyncio.sleep(1)


async def postgres_immediate_stop(rig: Rig, randomness: random.Random, _: Sequence[Member]) -> None:
    """As a crash, with recovery at the start."""
    async with rig.servers.postgres_trouble():
        os.kill(rig.servers.postgres.pid, signal.SIGQUIT)
        await asyncio.to_thread(rig.servers.postgres.stop)
        await pause(randomness, 0, 2)
        await asyncio.to_thread(rig.servers.postgres.start)


async def postgres_freeze(rig: Rig, randomness: random.Random, _: Sequence[Member]) -> None:
    """The postmaster and every backend."""
    async with rig.servers.postgres_trouble():
        rig.servers.postgres.pause()
        try:
            await pause(randomness, 2, 7)
        finally:
            rig.servers.postgres.resume()


async def backends_frozen(rig: Rig, randomness: random.Random, _: Sequence[Member]) -> None:
    """Single backends stop in the middle of a transaction that has written; all others go on."""
    async with rig.servers.postgres_trouble(), connected(rig.url) as connection:
        rig.servers.postgres_proxy.delay = 0.03  # else a transaction is over before it is seen
        try:
            for _freeze in range(3):
                await _freeze_one(connection, randomness.uniform(0.5, 1.5))
        finally:
            rig.servers.postgres_proxy.delay = 0.0


async def _freeze_one(connection: asyncpg.Connection, seconds: float, within: float = 2.0) -> None:
    deadline = time.monotonic() + within
    while (pid := await connection.fetchval(_WRITING, timeout=5)) is None:
        if time.monotonic() > deadline:
            return
        await asyncio.sleep(0.005)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)


async def commands_locked(rig: Rig, randomness: random.Random, _: Sequence[Member]) -> None:
    """Everybody who asks for the commands waits."""
    async with rig.servers.postgres_trouble():
        await locked_commands(rig, randomness.uniform(1, LOCKED_SECONDS))


async def connections_exhausted(rig: Rig, randomness: random.Random, _: Sequence[Member]) -> None:
    """The server has none left: ours are ended, and somebody else takes the slots."""
    async with rig.servers.postgres_trouble(), contextlib.AsyncExitStack() as taken:
        connection = await taken.enter_async_context(connected(rig.url))
        await connection.execute(_TERMINATE, MAX_CONNECTIONS)
        with contextlib.suppress(asyncpg.TooManyConnectionsError):
            for _number in range(MAX_CONNECTIONS):
                await taken.enter_async_context(connected(rig.url))
        await pause(randomness, 1, 3)


async def tiny_timeouts(rig: Rig, randomness: random.Random, _: Sequence[Member]) -> None:
    """statement_timeout and lock_timeout of some milliseconds, for every session."""
    statement, lock = randomness.choice((2, 5, 20)), randomness.choice((1, 5))
    async with rig.servers.postgres_trouble(), connected(rig.url) as connection:
        await connection.execute("SET statement_timeout = 0; SET lock_timeout = 0")
        try:
            await connection.execute(f"ALTER SYSTEM SET statement_timeout = {statement}")
            await connection.execute(f"ALTER SYSTEM SET lock_timeout = {lock}")
            await connection.execute("SELECT pg_reload_conf()")
            await pause(randomness, 2, 4)
        finally:
            await connection.execute("ALTER SYSTEM RESET statement_timeout")
            await connection.execute("ALTER SYSTEM RESET lock_timeout")
            await connection.execute("SELECT pg_reload_conf()")
