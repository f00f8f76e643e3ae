from __future__ import annotations

import platform
import subprocess
import sys
from dataclasses import dataclass

import pytest

from consumer.idle_memory import IDLE_SECONDS, WORTH_SECONDS, IdleMemory, give_back

# Blocks of 100 KB come from the heap; of each the small one behind it keeps the place, and the heap its size.
HOLES = """
import psutil
from consumer.idle_memory import give_back
held = []
for _ in range(1000):
    large = bytearray(100_000)
    held += [large, bytearray(600)]
held = held[1::2]
del large
before = psutil.Process().memory_info().rss
{then}
print(before - psutil.Process().memory_info().rss)
"""


@dataclass
class Process:
    """One whose processor time is told, and that counts how often it gave memory back."""

    seconds: float = 0.0
    given: int = 0

    def give(self) -> None:
        self.given += 1


def watched(process: Process) -> IdleMemory:
    return IdleMemory(lambda: process.seconds, process.give)


def test_memory_is_given_back_once_after_work() -> None:
    """Not while the process works, once when it rests, and again only after it has worked again."""
    process = Process()
    memory = watched(process)
    given: list[int] = []
    for spent in (0.9, 0.9, 0.0, 0.0, 0.9, 0.9, 0.1):
        process.seconds += spent
        memory.look()
        given.append(process.given)
    assert given == [0, 0, 1, 1, 1, 1, 2]


def test_little_work_adds_up() -> None:
    """A process that is never busy gives back when all its little work has come to something."""
    process = Process()
    memory = watched(process)
    looks = 0
    while not process.given:
        process.seconds += IDLE_SECONDS / 2
        memory.look()
        looks += 1
    assert looks == WORTH_SECONDS / (IDLE_SECONDS / 2)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps it")
@pytest.mark.parametrize(("then", "least", "most"), [("give_back()", 50e6, 200e6), ("", -1e6, 1e6)])
def test_holes_are_given_back(then: str, least: float, most: float) -> None:
    """What is free between blocks that are held leaves the process; by itself it would stay."""
    code = HOLES.format(then=then)
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert least <= float(ended.stdout) <= most


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no malloc_trim nothing is asked for, and nothing fails."""
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    give_back()
