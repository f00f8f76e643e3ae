from __future__ import annotations

import logging
from typing import Any

from consumer.telemetry.repeats import PASSED, REMEMBERED, WINDOW_SECONDS, RepeatFilter


class Hearing:
    """A logger behind the filter, with a clock that stands until it is moved; ``lines`` is what came through."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lines: list[str] = []
        self._filter = RepeatFilter(lambda: self.now)

    def warned(self, message: str, *arguments: Any, name: str = "aiokafka.conn") -> None:
        record = logging.LogRecord(name, logging.WARNING, __file__, 1, message, arguments, None)
        if self._filter.filter(record):
            self.lines.append(record.getMessage())


def test_the_first_lines_of_a_kind_are_written_and_the_rest_of_the_window_is_not() -> None:
    """A hundred lines that differ in their arguments alone are one kind."""
    heard = Hearing()
    for node in range(100):
        heard.warned("no connection to node %s", node)
    assert heard.lines == [f"no connection to node {node}" for node in range(PASSED)]


def test_the_next_window_tells_how_many_were_left_out() -> None:
    """The first line after the pause carries the count, once, and keeps its arguments."""
    heard = Hearing()
    for node in range(PASSED + 7):
        heard.warned("no connection to node %s", node)
    heard.now = WINDOW_SECONDS
    for _ in range(2):
        heard.warned("no connection to node %s", "x")
    assert heard.lines[PASSED:] == [
        "no connection to node x [and 7 more like it since the last one]",
        "no connection to node x",
    ]


def test_other_kinds_are_not_held_back() -> None:
    """Another message or another logger is another kind."""
    heard = Hearing()
    for _ in range(PASSED + 1):
        heard.warned("gone")
    heard.warned("back")
    heard.warned("gone", name="sqlalchemy.pool")
    assert heard.lines[PASSED:] == ["back", "gone"]


def test_kinds_without_number_need_no_memory_without_bound() -> None:
    """Messages that were put together before they were logged do not pile up."""
    heard = Hearing()
    for number in range(REMEMBERED * 2):
        heard.warned(f"lost {number}")
    assert len(heard.lines) == REMEMBERED * 2
    assert len(heard._filter._windows) == REMEMBERED
