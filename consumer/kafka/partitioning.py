"""Which partition a key belongs to: the same for us as for every other client of Kafka."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_REMEMBERED_KEYS: Final = 4096  # the events of one execution have one key
_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_32_BITS: Final = 0xFFFFFFFF


def partition_of(key: bytes | None, name: str, every: Sequence[int]) -> int:
    """The partition that Kafka's clients choose by default for a key.

    Without a key they take any. Here the name of the message decides, so that one which is sent again goes where it
    went before, and whoever reads that partition drops it.

    Args:
        key: Of the record.
        name: The same whenever the message is sent.
        every: The topic's partitions, ascending.
    """
    return every[(murmur2(name.encode() if key is None else key) & 0x7FFFFFFF) % len(every)]


@lru_cache(_REMEMBERED_KEYS)
def murmur2(key: bytes) -> int:
    """Kafka's hash of a key: MurmurHash2 of 32 bits, unsigned. aiokafka's takes a multiple of the time."""
    words, rest = divmod(len(key), 4)
    value = _SEED ^ len(key)
    for word in struct.unpack_from(f"<{words}I", key):
        mixed = word * _M & _32_BITS
        value = (value * _M ^ (mixed ^ mixed >> 24) * _M) & _32_BITS
    if rest:
        value = (value ^ int.from_bytes(key[-rest:], "little")) * _M & _32_BITS
    value = (value ^ value >> 13) * _M & _32_BITS
    return value ^ value >> 15
