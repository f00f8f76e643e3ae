from __future__ import annotations

from consumer.db.known import KnownMessages
from tests.builders import message


def test_memory_is_bounded_and_keeps_what_goes_first() -> None:
    """What does not fit is not kept; room comes back as messages are taken or dropped."""
    known = KnownMessages(most_bytes=5000)
    known.add((1, 2, 3, 4, 5), [message(f"e{number}", value=b"x" * 400) for number in range(1, 6)], [400] * 5)
    assert len(known) == 3
    assert known.take(1, "e1") == message("e1", value=b"x" * 400)
    known.forget_before(3)
    known.add((6, 7, 8), [message(f"e{number}", value=b"x" * 400) for number in range(6, 9)], [400] * 3)
    assert [number for number in range(1, 9) if known.take(number, f"e{number}")] == [3, 6, 7]
    known.add((9,), [message("e9", value=b"x" * 3900)], [3900])
    assert len(known) == 1
    known.forget_before(None)
    assert len(known) == 0


def test_row_of_another_name_is_not_known() -> None:
    """After a restore ids are given out again: the row of another event is read from the table."""
    known = KnownMessages()
    known.add((1,), [message("old")], [8])
    assert known.take(1, "new") is None
    assert len(known) == 0
