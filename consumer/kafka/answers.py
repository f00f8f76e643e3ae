"""What the broker will say of batches, and which of them are waited for before more goes to the same partition."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """What the broker will say of a batch, and when it is too late for that, by the loop's clock."""

    future: asyncio.Future[object]
    deadline: float

    async def came(self) -> bool:
        """Wait to the deadline, and not at all after it."""
        if not self.future.done():
            left = self.deadline - self.future.get_loop().time()
            await asyncio.wait((self.future,), timeout=max(0.0, left))
        return self.future.done()

    @property
    def taken(self) -> bool:
        """Whether the broker has said yes."""
        future = self.future
        return future.done() and not future.cancelled() and future.exception() is None


class Unproven:
    """Of each partition the batch behind which nothing is handed over until the broker has taken it.

    Args:
        seconds: How long replies are waited for; the more partitions take nothing, the less.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._answers: dict[tuple[str, int], Answer] = {}

    def __len__(self) -> int:
        return len(self._answers)

    def before(self, topic: str, partition: int) -> Answer | None:
        """What is to be waited for first."""
        return self._answers.get((topic, partition))

    def add(self, topic: str, partition: int, answer: Answer) -> None:
        """Forgotten as soon as the broker has taken it."""
        place = topic, partition
        self._answers[place] = answer

        def look(_: asyncio.Future[object]) -> None:
            if answer.taken and self._answers.get(place) is answer:
                del self._answers[place]

        answer.future.add_done_callback(look)

    def patience(self) -> float:
        """Until when replies that are handed over now are waited for, by the loop's clock."""
        now = asyncio.get_running_loop().time()
        late = sum(answer.deadline <= now for answer in self._answers.values())
        return now + self._seconds / (1 + late)
