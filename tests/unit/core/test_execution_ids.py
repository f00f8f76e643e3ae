from __future__ import annotations

import time
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from consumer.execution_ids import BLOCK_IDS, RANDOM_BYTES, ExecutionIds


def test_ids_are_version_7_of_the_present_time() -> None:
    """An id is a UUIDv7 of the RFC's variant whose first 48 bits are the milliseconds since 1970."""
    before = time.time_ns() // 1_000_000
    made = UUID(ExecutionIds()())
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert before <= made.int >> 80 <= time.time_ns() // 1_000_000


@given(st.lists(st.integers(0, 2**62), min_size=2, max_size=20))
def test_ids_rise_whatever_the_clock_does(times: list[int]) -> None:
    """Ids are given out in rising order, also when the clock stands still or goes back, and all are UUIDs."""
    ticks = iter(times)
    make = ExecutionIds(lambda: next(ticks), lambda count: b"\xff" * count)
    made = [make() for _ in times]
    assert made == sorted(set(made))
    assert all(str(UUID(one)) == one and UUID(one).version == 7 for one in made)


def test_random_bytes_are_drawn_in_blocks_and_used_once() -> None:
    """One system call serves many ids, and no random byte is in two of them."""
    drawn: list[int] = []

    def numbered(count: int) -> bytes:
        drawn.append(count)
        first = (len(drawn) - 1) * BLOCK_IDS
        return b"".join((first + number).to_bytes(RANDOM_BYTES, "big") for number in range(BLOCK_IDS))

    make = ExecutionIds(lambda: 0, numbered)
    low = [UUID(make()).int & (2**62 - 1) for _ in range(BLOCK_IDS + 2)]
    assert low == list(range(BLOCK_IDS + 2))
    assert drawn == [BLOCK_IDS * RANDOM_BYTES] * 2
