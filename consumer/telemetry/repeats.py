"""A library that says the same twenty times a second says it three times in ten seconds, and how often it was."""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW_SECONDS: Final = 10.0
PASSED: Final = 3  # of one kind in a window, so that what fails on several nodes is seen for each of a few
REMEMBERED: Final = 256  # kinds of lines; the one not heard of for longest is forgotten


@dataclass(slots=True)
class _Window:
    began: float
    passed: int = 0
    left_out: int = 0


class RepeatFilter(logging.Filter):
    """Lets the first lines of a kind through and counts the rest; the next window's first line tells the count.

    A kind is a logger, a level and a message before its arguments are put in: what differs in a node's name or a
    number is one kind.

    Args:
        monotonic: Seconds of a clock that never goes back.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._windows: OrderedDict[tuple[str, int, str], _Window] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written; it may get a note of those before it that were not."""
        kind, now = (record.name, record.levelno, str(record.msg)), self._monotonic()
        window = self._windows.pop(kind, None) or _Window(now)
        if now - window.began >= WINDOW_SECONDS:
            if window.left_out:
                record.msg = f"{record.msg} [and {window.left_out} more like it since the last one]"
            window = _Window(now)
        self._windows[kind] = window
        if len(self._windows) > REMEMBERED:
            self._windows.popitem(last=False)
        if window.passed >= PASSED:
            window.left_out += 1
            return False
        window.passed += 1
        return True
