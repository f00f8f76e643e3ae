from __future__ import annotations

import asyncio
from typing import Any

import pytest

from consumer.errors import OffsetsLostError
from consumer.kafka.reader import KafkaReader
from consumer.settings import Settings
from tests.fakes import CapturedLog


class SlowConsumer:
    """Takes a commit and answers when it is let."""

    def __init__(self) -> None:
        self.asked, self.answers = asyncio.Event(), asyncio.Event()

    async def commit(self, _: Any) -> None:
        self.asked.set()
        await self.answers.wait()

    async def stop(self) -> None:
        return


async def test_commit_that_waits_for_another_is_lost_with_its_consumer() -> None:
    """A consumer may be given up in between; its offsets are then read again, and the role goes on."""
    reader, consumer = KafkaReader(Settings(), CapturedLog().log), SlowConsumer()
    reader._consumer = consumer
    first = asyncio.create_task(reader.commit({("forecast.predict", 0): 1}))
    await consumer.asked.wait()
    second = asyncio.create_task(reader.commit({("forecast.predict", 0): 2}))
    await asyncio.sleep(0)
    reader._consumer = None  # as ``leave`` does before it closes what it had
    consumer.answers.set()
    await first
    with pytest.raises(OffsetsLostError, match="given up"):
        await second
