"""Topics, and partitions (``topic/number``), that were asked for lately and are not there."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from consumer.clock import Clock

REMEMBER_SECONDS: Final = 30.0
MOST: Final = 1000


class MissingTopics:
    """Remembers names for a while, the latest of them, so that nobody has to wait for the same one again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: OrderedDict[str, float] = OrderedDict()

    def __contains__(self, topic: object) -> bool:
        self._forget()
        return topic in self._until

    def __len__(self) -> int:
        self._forget()
        return len(self._until)

    def add(self, topic: str) -> None:
        """The broker has just said that there is no such topic."""
        self._until[topic] = self._clock.monotonic() + REMEMBER_SECONDS
        self._until.move_to_end(topic)
        while len(self._until) > MOST:
            self._until.popitem(last=False)

    def _forget(self) -> None:
        now = self._clock.monotonic()
        while self._until and next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)
