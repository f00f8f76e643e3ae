"""Ids of executions that the producer did not name: UUIDv7, each greater than the one before it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from consumer.model import ExecutionId

if TYPE_CHECKING:
    from collections.abc import Callable

RANDOM_BYTES: Final = 8  # of an id; two bits of them give way to the variant
_DIGITS: Final = 2 * RANDOM_BYTES
BLOCK_IDS: Final = 512  # whose random bytes are drawn with one system call
_VARIANT: Final = {f"{digit:x}": f"{0b1000 | digit & 0b11:x}" for digit in range(16)}  # of the first random digit


class ExecutionIds:
    """Makes ids (RFC 9562, method 3): milliseconds, 12 bits of their fraction, 62 random bits. For one process.

    The random bits are the operating system's, each used once, so that nobody who knows an id can guess the next.

    Args:
        nanoseconds: The time since 1970.
        random_bytes: So many bytes that nobody can predict.
    """

    def __init__(
        self, nanoseconds: Callable[[], int] = time.time_ns, random_bytes: Callable[[int], bytes] = os.urandom
    ) -> None:
        self._nanoseconds = nanoseconds
        self._random_bytes = random_bytes
        self._block = ""
        self._used = 0
        self._last = 0

    def __call__(self) -> ExecutionId:
        """The next id."""
        # In 4096ths of a millisecond, 15 hexadecimal digits; a clock that stands still or goes back is counted on from.
        self._last = ticks = max((self._nanoseconds() << 12) // 1_000_000, self._last + 1)
        time, chance = f"{ticks:015x}", self._random()
        return ExecutionId(f"{time[:8]}-{time[8:12]}-7{time[12:]}-{_VARIANT[chance[0]]}{chance[1:4]}-{chance[4:]}")

    def _random(self) -> str:
        if self._used == len(self._block):
            self._block, self._used = self._random_bytes(BLOCK_IDS * RANDOM_BYTES).hex(), 0
        self._used += _DIGITS
        return self._block[self._used - _DIGITS : self._used]
