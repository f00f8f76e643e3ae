"""The seven topics as the service itself creates them, waited for until every client sees them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from consumer.kafka.topics import create_topics
from consumer.settings import Settings
from tests.support.topics import admin_client

if TYPE_CHECKING:
    from tests.support.topics import Topics

PARTITIONS = 6


async def create_visible(topics: Topics, *more: str, within: float = 20.0) -> None:
    """Create the seven and ``more``; return when the broker leads every partition of them."""
    named: dict[str, Any] = {**topics.settings, "_env_file": None}
    topics.created.extend(await create_topics(Settings(**named), PARTITIONS, 1))
    if more:
        await topics.create(*more)
    wanted = [*topics.all, *more]
    deadline = time.monotonic() + within
    async with admin_client(topics.bootstrap_servers) as admin:
        while not all(_led(topic) for topic in await admin.describe_topics(wanted)):
            assert time.monotonic() < deadline, f"topics are not there within {within:g} s"


def _led(topic: dict[str, object]) -> bool:
    partitions = topic["partitions"]
    assert isinstance(partitions, list)
    return not topic["error_code"] and len(partitions) == PARTITIONS and all(p["leader"] >= 0 for p in partitions)
