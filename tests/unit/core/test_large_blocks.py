from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from consumer.large_blocks import give_large_blocks_back

MEGABYTE = 1024**2
# The fifth number of mallinfo2 is how many bytes are mapped by themselves.
LOOK = f"""
import ctypes
from consumer.large_blocks import give_large_blocks_back
class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "abcdefghij"]
libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Info
{{first}}
bytearray(8 * {MEGABYTE})
before = libc.mallinfo2().e
held = bytearray(2 * {MEGABYTE})
print(libc.mallinfo2().e - before >= len(held))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has the threshold")
@pytest.mark.parametrize(("first", "mapped"), [("give_large_blocks_back()", "True"), ("", "False")])
def test_large_blocks_stay_large(first: str, mapped: str) -> None:
    """After a larger one was freed a block of megabytes is still mapped by itself; without us it would not be."""
    code = LOOK.format(first=first)
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert ended.stdout.strip() == mapped


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no mallopt nothing is asked for, and nothing fails."""
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    assert not give_large_blocks_back()
