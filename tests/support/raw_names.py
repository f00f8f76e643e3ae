"""Records whose header has a name that is not UTF-8, as clients in C or Go can send them and aiokafka's cannot."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from aiokafka import AIOKafkaProducer, codec
from aiokafka.record.util import calc_crc32c

if TYPE_CHECKING:
    from collections.abc import Sequence

CODECS: Final = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
ODD: Final = 2  # which record of the batch has the odd name
_LENGTH_AT, _CRC_AT, _ATTRIBUTES_AT, _RECORDS_AT = 8, 17, 21, 61


async def produce_raw_name(
    bootstrap_servers: str, topic: str, name: bytes, values: Sequence[bytes], compression: str = "none"
) -> int:
    """One batch for partition 0, whose third record has a header of that name; gives its first offset."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers)
    await producer.start()
    try:
        batch = producer.create_batch()
        for number, value in enumerate(values):
            odd = [("?" * len(name), b"odd"), ("last", None)] if number == ODD else []
            batch.append(key=b"k", value=value, timestamp=None, headers=[("first", b"1"), *odd])
        batch.close()
        built = bytes(batch._build())
        assert built.count(b"?" * len(name)) == 1, "the placeholder stands somewhere else, too"
        batch._buffer = bytearray(_rebuilt(built.replace(b"?" * len(name), name), compression))
        acknowledged = await producer.send_batch(batch, topic, partition=0)
        return int((await acknowledged).offset)
    finally:
        await producer.stop()


def _rebuilt(batch: bytes, compression: str) -> bytes:
    """The batch with its records compressed; its length counts from 12 on, its checksum covers what follows itself."""
    records = batch[_RECORDS_AT:]
    if compression != "none":
        records = bytes(getattr(codec, f"{compression}_encode")(records))
    checked = struct.pack(">h", CODECS[compression]) + batch[_ATTRIBUTES_AT + 2 : _RECORDS_AT] + records
    length = _RECORDS_AT - _LENGTH_AT - 4 + len(records)
    begin = batch[:_LENGTH_AT] + struct.pack(">i", length) + batch[_LENGTH_AT + 4 : _CRC_AT]
    return begin + struct.pack(">I", calc_crc32c(checked)) + checked
