"""Memory that work has freed goes back to the system once the work is over."""

from __future__ import annotations

import asyncio
import ctypes
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_SECONDS: Final = 1.0
IDLE_SECONDS: Final = 0.25  # of processor time, in the time between two looks
WORTH_SECONDS: Final = 1.0  # of processor time: what less has freed is left where it is


def give_back() -> None:
    """Ask the C library to return what is free, wherever in its heap that is; where it cannot, nothing happens.

    A fetch or a batch of megabytes makes glibc count blocks of that size as ordinary from then on (mallopt(3)): they
    come from the heap, and behind the hole that they leave some small one keeps the pages. After a backlog a process
    stayed 15 % larger. To have every large block mapped and unmapped by itself prevents that, and costs intake 5 %.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):  # another C library
        return


class IdleMemory:
    """Gives memory back when the process rests after work; milliseconds, which then nobody waits for.

    Args:
        processor_seconds: What the process has used so far, in seconds.
        give: What gives memory back.
    """

    def __init__(
        self, processor_seconds: Callable[[], float] = time.process_time, give: Callable[[], None] = give_back
    ) -> None:
        self._processor_seconds = processor_seconds
        self._give = give
        self._last = processor_seconds()
        self._worked = 0.0

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Give back if the process has worked, and does not any more."""
        now = self._processor_seconds()
        spent, self._last = now - self._last, now
        self._worked += spent
        if spent < IDLE_SECONDS and self._worked >= WORTH_SECONDS:
            self._worked = 0.0
            self._give()
