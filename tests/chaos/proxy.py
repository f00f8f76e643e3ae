"""A TCP proxy that does to connections what networks do."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from dataclasses import dataclass, field
from typing import Final, Literal, Self

Mode = Literal["open", "blackhole", "one_way"]
BLOCK: Final = 64 * 1024
_COMMIT: Final = b"COMMIT"


@dataclass(eq=False, slots=True)
class Link:
    """One client's connection and ours to the server."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    stalled: bool = False  # something was held back while the network was cut
    swallow: bool = False  # the next answer is the one to a COMMIT, and is lost
    cut_short: bool = False  # an answer was swallowed or halved: the end must not look orderly

    def reset(self) -> None:
        """Both ends get an RST, as from a firewall that has forgotten the connection."""
        for writer in (self.client, self.server):
            if writer is None:
                continue
            handle = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    def close(self) -> None:
        """Both ends see an orderly end, after what was written."""
        for writer in (self.client, self.server):
            if writer is not None:
                writer.close()


@dataclass(slots=True)
class Proxy:
    """Listens on ``port``, hands everything to ``target_port``. Use ``async with``.

    Attributes:
        delay: Seconds that each block waits before it is handed on, on average.
        lost_commits: How many more answers to a COMMIT are swallowed, with a reset.
        halved: How many more answers are cut in the middle, with a reset.
    """

    port: int
    target_port: int
    delay: float = 0.0
    lost_commits: int = 0
    halved: int = 0
    connections: int = 0
    _mode: Mode = "open"
    _links: set[Link] = field(default_factory=set)
    _open: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._open.set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, limit=BLOCK)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def reset(self) -> None:
        """Every connection is cut now."""
        for link in list(self._links):
            link.reset()

    def cut(self, mode: Mode) -> None:
        """Nothing passes (blackhole), or only what clients send (one_way), until ``heal``."""
        self._mode = mode
        self._open.clear()

    def heal(self, *, deliver: bool = True) -> None:
        """Go on; what was held back is delivered late, or its connections are reset."""
        if not deliver:
            for link in list(self._links):
                if link.stalled:
                    link.reset()
        self._mode, self.delay, self.lost_commits, self.halved = "open", 0.0, 0, 0
        self._open.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        link = Link(writer)
        self._links.add(link)
        self.connections += 1
        try:
            await self._serve(link, reader)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            if link.cut_short:
                link.reset()
            link.close()
            self._links.discard(link)

    async def _serve(self, link: Link, reader: asyncio.StreamReader) -> None:
        if self._mode != "open":
            link.stalled = True
            await self._open.wait()
        answers, link.server = await asyncio.open_connection("127.0.0.1", self.target_port, limit=BLOCK)
        async with asyncio.TaskGroup() as pumps:
            up = pumps.create_task(self._requests(link, reader))
            down = pumps.create_task(self._answers(link, answers))
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            up.cancel()
            down.cancel()

    async def _requests(self, link: Link, reader: asyncio.StreamReader) -> None:
        assert link.server is not None
        with contextlib.suppress(OSError):
            while data := await reader.read(BLOCK):
                await self._hold(link, cut=self._mode == "blackhole")
                if self.lost_commits and _COMMIT in data:
                    self.lost_commits -= 1
                    link.swallow = True
                link.server.write(data)
                await link.server.drain()

    async def _answers(self, link: Link, answers: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while data := await answers.read(BLOCK):
                await self._hold(link, cut=self._mode != "open")
                if link.swallow:
                    link.cut_short = True
                    return
                if self.halved and len(data) > 1:
                    self.halved -= 1
                    link.cut_short = True
                    link.client.write(data[: len(data) // 2])
                    await link.client.drain()
                    return
                link.client.write(data)
                await link.client.drain()

    async def _hold(self, link: Link, *, cut: bool) -> None:
        if self.delay:
            await asyncio.sleep(self.delay * random.uniform(0.2, 1.8))  # so that connections overtake each other
        if cut:
            link.stalled = True
            await self._open.wait()
