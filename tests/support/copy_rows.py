"""Rows in COPY's binary format, read as PostgreSQL reads them; written without a look at who writes them."""

from __future__ import annotations

import struct
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Reader = Callable[[bytes], object]

SIGNATURE = b"PGCOPY\n\xff\r\n\x00"


def rows_of(form: bytes, readers: Sequence[Reader]) -> list[list[object]]:
    """All values of all rows; a reader for each column."""
    assert form.startswith(SIGNATURE + bytes(8))
    at, rows = len(SIGNATURE) + 8, []
    while (columns := struct.unpack_from(">h", form, at)[0]) != -1:
        at += 2
        assert columns == len(readers)
        row: list[object] = []
        for read in readers:
            (length,) = struct.unpack_from(">i", form, at)
            at += 4
            row.append(None if length == -1 else read(form[at : at + length]))
            at += max(length, 0)
        rows.append(row)
    assert form[at:] == b"\xff\xff"
    return rows


def text(value: bytes) -> str:
    assert b"\0" not in value
    return value.decode()


def integer(value: bytes) -> int:
    (number,) = struct.unpack(">i", value)
    assert isinstance(number, int)
    return number


def day(value: bytes) -> date:
    return date(2000, 1, 1) + timedelta(days=integer(value))


def numeric(value: bytes) -> Decimal:
    count, weight, sign, scale = struct.unpack_from(">hhHh", value)
    digits = struct.unpack(f">{count}h", value[8:])
    assert all(0 <= digit < 10_000 for digit in digits)
    number = sum(Decimal(digit) * Decimal(10_000) ** (weight - place) for place, digit in enumerate(digits))
    return (-number if sign == 0x4000 else Decimal(number)).quantize(Decimal(1).scaleb(-scale))


RESULT_READERS: tuple[Reader, ...] = (text, text, text, day, integer, text, text, *[numeric] * 8)  # RESULT_COLUMNS
