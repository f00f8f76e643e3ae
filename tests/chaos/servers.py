"""Kafka and PostgreSQL behind their proxies; the driver itself reaches both directly."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from consumer.demo.embedded_postgres import EmbeddedPostgres
from consumer.demo.processes import free_port
from tests.chaos.proxy import Proxy
from tests.support.kafka_server import KafkaServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

MAX_CONNECTIONS = 90
RECOVERY_SECONDS = 6.0  # until clients have found a server again that was away


class ProxiedKafka(KafkaServer):
    """A second listener, which tells its clients to come through the proxy."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.inner_port, self.proxy_port = free_port(), free_port()

    def _properties(self) -> dict[str, str]:
        own = super()._properties()
        inner, outer = f"127.0.0.1:{self.inner_port}", f"127.0.0.1:{self.proxy_port}"
        return own | {
            "listeners": f"{own['listeners']},PROXIED://{inner}",
            "advertised.listeners": f"{own['advertised.listeners']},PROXIED://{outer}",
            "listener.security.protocol.map": f"{own['listener.security.protocol.map']},PROXIED:PLAINTEXT",
            "group.min.session.timeout.ms": "3000",
        }


@dataclass(slots=True)
class Servers:
    """Who breaks a server or its network holds the lock, so that every fault ends as it began."""

    kafka: ProxiedKafka
    postgres: EmbeddedPostgres
    kafka_proxy: Proxy
    postgres_proxy: Proxy
    kafka_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    postgres_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _troubles: int = 0
    _trouble_ended: float = 0.0

    @contextlib.asynccontextmanager
    async def kafka_trouble(self) -> AsyncIterator[None]:
        """The broker, or the way there, is not well within the block."""
        async with self.kafka_lock, self._trouble():
            yield

    @contextlib.asynccontextmanager
    async def postgres_trouble(self) -> AsyncIterator[None]:
        """The database, or the way there, is not well within the block."""
        async with self.postgres_lock, self._trouble():
            yield

    def well_since(self, started: float) -> bool:
        """Whether both have been well and found again since then, by the monotonic clock."""
        return not self._troubles and self._trouble_ended + RECOVERY_SECONDS < started

    @contextlib.asynccontextmanager
    async def _trouble(self) -> AsyncIterator[None]:
        self._troubles += 1
        try:
            yield
        finally:
            self._troubles -= 1
            self._trouble_ended = time.monotonic()

    @property
    def proxied_bootstrap(self) -> str:
        return f"127.0.0.1:{self.kafka_proxy.port}"

    def proxied_url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.postgres_proxy.port}/{database}"


@contextlib.asynccontextmanager
async def servers(directory: Path) -> AsyncIterator[Servers]:
    """Both servers and both proxies, ended with the block whatever state they are in."""
    kafka = ProxiedKafka(directory / "kafka")
    postgres = EmbeddedPostgres(settings={"max_connections": str(MAX_CONNECTIONS), "deadlock_timeout": "500ms"})
    with contextlib.ExitStack() as stack:
        stack.callback(kafka.close)
        stack.callback(postgres.close)
        await asyncio.gather(asyncio.to_thread(kafka.start), asyncio.to_thread(postgres.start))
        async with (
            Proxy(kafka.proxy_port, kafka.inner_port) as kafka_proxy,
            Proxy(free_port(), postgres.port) as postgres_proxy,
        ):
            yield Servers(kafka, postgres, kafka_proxy, postgres_proxy)
