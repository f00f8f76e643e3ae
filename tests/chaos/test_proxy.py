from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from consumer.demo.processes import free_port
from tests.chaos.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ANSWER = b"answer to "
SILENCE_SECONDS = 0.3


@asynccontextmanager
async def proxied() -> AsyncIterator[tuple[Proxy, list[bytes]]]:
    """A proxy in front of a server that answers each block; and what that server was told."""
    told: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            told.append(data)
            writer.write(ANSWER + data)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with Proxy(free_port(), server.sockets[0].getsockname()[1]) as proxy:
        yield proxy, told
    server.close()


@asynccontextmanager
async def client(proxy: Proxy) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    yield reader, writer
    writer.transport.abort()


async def told_by(reader: asyncio.StreamReader, expected: bytes) -> None:
    async with asyncio.timeout(5):
        assert await reader.readexactly(len(expected)) == expected


async def silent(reader: asyncio.StreamReader) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SILENCE_SECONDS):
            await reader.read(1)


async def test_an_open_proxy_hands_everything_on() -> None:
    """Question and answer pass through unchanged."""
    async with proxied() as (proxy, told), client(proxy) as (reader, writer):
        writer.write(b"one")
        await told_by(reader, ANSWER + b"one")
        assert told == [b"one"]


async def test_a_reset_looks_like_one() -> None:
    """Clients get a reset, and may connect anew."""
    async with proxied() as (proxy, _):
        async with client(proxy) as (reader, writer):
            writer.write(b"one")
            await told_by(reader, ANSWER + b"one")
            proxy.reset()
            with pytest.raises(ConnectionResetError):
                await reader.read(1)
        async with client(proxy) as (reader, writer):
            writer.write(b"two")
            await told_by(reader, ANSWER + b"two")


async def test_a_blackhole_swallows_both_ways_and_delivers_late() -> None:
    """Nothing arrives while the network is cut; afterwards what was under way comes through."""
    async with proxied() as (proxy, told), client(proxy) as (reader, writer):
        writer.write(b"one")
        await told_by(reader, ANSWER + b"one")
        proxy.cut("blackhole")
        writer.write(b"two")
        await silent(reader)
        assert told == [b"one"]
        proxy.heal()
        await told_by(reader, ANSWER + b"two")


async def test_what_was_under_way_may_be_lost_with_its_connection() -> None:
    """Healed without delivery, a connection on which something was held back is reset."""
    async with proxied() as (proxy, told), client(proxy) as (reader, writer):
        writer.write(b"one")
        await told_by(reader, ANSWER + b"one")
        proxy.cut("blackhole")
        writer.write(b"two")
        await silent(reader)
        proxy.heal(deliver=False)
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        assert told == [b"one"]


async def test_one_way_lets_questions_through_and_no_answers() -> None:
    """The server hears the client, the client hears nothing until the network is healed."""
    async with proxied() as (proxy, told), client(proxy) as (reader, writer):
        writer.write(b"one")
        await told_by(reader, ANSWER + b"one")
        proxy.cut("one_way")
        writer.write(b"two")
        await silent(reader)
        assert told == [b"one", b"two"]
        proxy.heal()
        await told_by(reader, ANSWER + b"two")


async def test_the_answer_to_a_commit_is_lost() -> None:
    """The server has got the COMMIT, the client gets a reset instead of the answer."""
    async with proxied() as (proxy, told), client(proxy) as (reader, writer):
        writer.write(b"one")
        await told_by(reader, ANSWER + b"one")
        proxy.lost_commits = 1
        writer.write(b"COMMIT;")
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        assert told == [b"one", b"COMMIT;"]
        assert proxy.lost_commits == 0


async def test_half_a_response_ends_in_a_reset() -> None:
    """The client gets the first half and never the rest."""
    async with proxied() as (proxy, _), client(proxy) as (reader, writer):
        proxy.halved = 1
        writer.write(b"one")
        whole = ANSWER + b"one"
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)) as cut:
            await reader.readexactly(len(whole))
        if isinstance(cut.value, asyncio.IncompleteReadError):
            assert cut.value.partial == whole[: len(whole) // 2]
