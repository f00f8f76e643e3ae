"""Reading records whose header names are not UTF-8, which aiokafka would stop at for ever.

Kafka's protocol says that names are UTF-8, its broker does not look, and clients in C or Go write any bytes. aiokafka
raises in the middle of a poll then, at the same record again and again, and loses what other partitions had given.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import decode_varint_py

if TYPE_CHECKING:
    from collections.abc import Iterator

_LENGTH: Final = struct.Struct(">i")
_LENGTH_AT: Final = 8  # a batch begins with its first offset (int64) and the length of what follows (int32)


def read_leniently() -> None:
    r"""Let every consumer of this process read such names; the bytes that are no UTF-8 stand in them as ``\xNN``."""
    fetcher.MemoryRecords = LenientRecords


class LenientRecords:
    """The record batches of one partition in an answer to a fetch, as aiokafka's fetcher asks for them."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._position = 0
        self._records = MemoryRecords(data)

    def size_in_bytes(self) -> int:
        """Bytes of all batches, and of one that was cut off."""
        return int(self._records.size_in_bytes())

    def has_next(self) -> bool:
        """Whether another whole batch follows."""
        return bool(self._records.has_next())

    def next_batch(self) -> LenientBatch | None:
        """The next batch, None behind the last one."""
        batch = self._records.next_batch()
        if batch is None:
            return None
        begin, body = self._position, self._position + _LENGTH_AT + _LENGTH.size
        (length,) = _LENGTH.unpack_from(self._data, begin + _LENGTH_AT)
        self._position = body + length
        return LenientBatch(batch, self._data[begin : self._position])


class LenientBatch:
    """A batch that is read as fast as ever, and anew in Python when a name in it is not UTF-8."""

    def __init__(self, batch: Any, data: memoryview) -> None:
        self._batch = batch
        self._data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._batch
        except UnicodeDecodeError:
            # From its first record; the fetcher passes over offsets that it has seen.
            yield from _read(self._data)


def _read(data: memoryview) -> Iterator[Any]:
    batch = _DefaultRecordBatchPy(data)
    batch._maybe_uncompress()  # noqa: SLF001  this is the decoder of the format, all but one line of it
    batch._buffer = _Names(batch._buffer)  # noqa: SLF001
    for _ in range(batch._num_records):  # noqa: SLF001
        yield batch._read_msg(decode_varint_py)  # noqa: SLF001


class _Names(bytearray):
    """A buffer whose parts decode whatever they hold; header names are all that is decoded."""

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        return _Names(found) if isinstance(place, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)
