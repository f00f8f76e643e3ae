"""Topics of one test on the shared broker, told apart from those of all others by a prefix."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.support.brokers import Kind

Answer = TypeVar("Answer")

NAMES: Final = ("train", "predict", "backtest", "cancel", "status", "step-log", "dlq")
REQUEST_MS: Final = 15_000


@dataclass(slots=True)
class Topics:
    """The seven topics of a test: ``topics.train`` is ``t1a2b3c4d.forecast.train``; ``topics.name("x")`` any other.

    Attributes:
        prefix: Unique to the test, ends with a dot.
        bootstrap_servers: The broker they are on.
        kind: Which broker that is; the embedded one makes topics by first use, with four partitions.
    """

    prefix: str
    bootstrap_servers: str
    kind: Kind
    created: list[str] = field(default_factory=list)

    def name(self, suffix: str) -> str:
        """A topic name that no other test has."""
        return self.prefix + suffix

    @property
    def train(self) -> str:
        return self.name("forecast.train")

    @property
    def predict(self) -> str:
        return self.name("forecast.predict")

    @property
    def backtest(self) -> str:
        return self.name("forecast.backtest")

    @property
    def cancel(self) -> str:
        return self.name("forecast.cancel")

    @property
    def status(self) -> str:
        return self.name("forecast.status")

    @property
    def step_log(self) -> str:
        return self.name("forecast.step-log")

    @property
    def dlq(self) -> str:
        return self.name("forecast.dlq")

    @property
    def all(self) -> tuple[str, ...]:
        """The seven, commands first."""
        return tuple(self.name(f"forecast.{name}") for name in NAMES)

    @property
    def settings(self) -> dict[str, str]:
        """Keyword arguments of ``consumer.settings.Settings`` that name these topics, broker and a group."""
        topics = {f"topic_{name.replace('-', '_')}": self.name(f"forecast.{name}") for name in NAMES}
        return {**topics, "bootstrap_servers": self.bootstrap_servers, "group_id": self.name("group")}

    @property
    def environment(self) -> dict[str, str]:
        """The same as environment variables for a process of the service."""
        return {f"FORECAST_{name.upper()}": value for name, value in self.settings.items()}

    async def create(self, *names: str, partitions: int = 6) -> None:
        """Create the seven topics, or just ``names`` (full names), and return when the broker has them."""
        wanted = list(names or self.all)
        async with admin_client(self.bootstrap_servers) as admin:
            if self.kind == "embedded":
                await admin.describe_topics(wanted)
                return
            new = [NewTopic(name, partitions, 1) for name in wanted]
            answer = await once_there_is_a_controller(lambda: admin.create_topics(new, REQUEST_MS))
        failed = [entry for entry in answer.topic_errors if entry[1]]
        assert not failed, f"topics not created: {failed}"
        self.created.extend(wanted)

    async def delete(self) -> None:
        """Delete what ``create`` made."""
        if self.created:
            async with admin_client(self.bootstrap_servers) as admin:
                await once_there_is_a_controller(lambda: admin.delete_topics(self.created, REQUEST_MS))
            self.created.clear()


async def once_there_is_a_controller(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """The answer to a request that only the controller takes.

    A broker that was frozen for about its session's nine seconds may be given up by its own controller when it thaws,
    and then its metadata names no broker at all until its next heartbeat; aiokafka looks the controller up in it.

    Raises:
        TimeoutError: There was none within 15 s.
    """
    async with asyncio.timeout(REQUEST_MS / 1000):
        while True:
            with contextlib.suppress(AttributeError):  # 'NoneType' object has no attribute 'nodeId', before it is sent
                return await ask()
            await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def admin_client(bootstrap_servers: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """A connected admin client with bounded requests, closed at the end."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=REQUEST_MS)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()
