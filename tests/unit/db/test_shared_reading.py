from __future__ import annotations

import asyncio

import pytest

from consumer.db.shared_reading import SharedReading
from consumer.errors import TransientError


class Source:
    """Answers with the number of the reading, when the test lets it."""

    def __init__(self) -> None:
        self.readings = 0
        self.begun = asyncio.Event()
        self.answers = asyncio.Event()
        self.failing = False

    async def read(self) -> int:
        self.readings += 1
        number = self.readings
        self.begun.set()
        await self.answers.wait()
        if self.failing:
            raise TransientError("away")
        return number


async def test_who_asks_at_once_shares_one_reading_and_who_asks_later_the_next() -> None:
    """A reading that has begun answers nobody who asks after its beginning."""
    source = Source()
    shared = SharedReading(source.read)
    early = [asyncio.create_task(shared.get()) for _ in range(3)]
    await source.begun.wait()
    late = [asyncio.create_task(shared.get()) for _ in range(2)]
    await asyncio.sleep(0)
    source.answers.set()
    assert await asyncio.gather(*early, *late) == [1, 1, 1, 2, 2]


async def test_cancelled_reader_leaves_the_reading_to_the_others() -> None:
    """One caller that gives up costs the others nothing."""
    source = Source()
    shared = SharedReading(source.read)
    readers = [asyncio.create_task(shared.get()) for _ in range(2)]
    await source.begun.wait()
    readers[0].cancel()
    source.answers.set()
    assert await readers[1] == 1
    assert readers[0].cancelled()


async def test_failed_reading_is_told_to_all_and_not_kept() -> None:
    """Everybody who shares a reading hears of its error, and the next one is tried anew."""
    source = Source()
    source.failing = True
    source.answers.set()
    shared = SharedReading(source.read)
    answers = await asyncio.gather(shared.get(), shared.get(), return_exceptions=True)
    assert [type(answer) for answer in answers] == [TransientError, TransientError]
    source.failing = False
    assert await shared.get() == 2
    source.failing = True
    with pytest.raises(TransientError):
        await shared.get()
