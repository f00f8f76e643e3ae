"""Rows in COPY's binary format, many at once: numpy fills a table of bytes, and what a row does not need is left out.

The format is in PostgreSQL's documentation of COPY; that of a numeric, digits to the base of 10,000, in the comments of
``numeric_recv`` in its source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from consumer.forecasting.types import FloatArray, IntArray

HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = b"\xff\xff"
_NULL: Final = -1
_EPOCH: Final = np.datetime64("2000-01-01", "D")
_BASE: Final = 10_000
_MOST_DIGITS: Final = 4  # to that base, the last of them behind the point
_SCALE: Final = 4
_NEGATIVE: Final = 0x4000


class Column(NamedTuple):
    """Values of a column.

    Attributes:
        values: ``(rows,)``, each of as many bytes as the longest.
        used: ``(rows,)`` how many of these bytes are the value; -1 is NULL. None: all are.
    """

    values: npt.NDArray[np.generic]
    used: IntArray | None = None


def texts(values: npt.NDArray[np.bytes_]) -> Column:
    """``text``, or an enum, in UTF-8; PostgreSQL's text has no zero byte, and neither may these."""
    return Column(values, np.char.str_len(values).astype(np.int64))


def integers(values: IntArray) -> Column:
    """``integer``."""
    return Column(values.astype(">i4"))


def dates(days: npt.NDArray[np.datetime64]) -> Column:
    """``date``."""
    return integers((days - _EPOCH).astype(np.int64))


def numerics(values: FloatArray) -> Column:
    """``numeric`` with four decimals, each below 10^12; what is not a number becomes NULL."""
    known = np.isfinite(values)
    left = np.rint(np.where(known, values, 0.0) * _BASE).astype(np.int64)
    negative, left = left < 0, np.abs(left)
    digits = 1 + sum(bool((left >= _BASE**place).any()) for place in range(1, _MOST_DIGITS))
    kind = np.dtype([("count", ">i2"), ("weight", ">i2"), ("sign", ">i2"), ("scale", ">i2"), ("digits", ">i2", digits)])
    cells = np.zeros(values.size, kind)
    cells["count"], cells["weight"], cells["scale"] = digits, digits - 2, _SCALE
    cells["sign"][negative] = _NEGATIVE
    for place in reversed(range(digits)):
        left, cells["digits"][:, place] = np.divmod(left, _BASE)
    return Column(cells, None if known.all() else np.where(known, kind.itemsize, _NULL))


def copy_form(columns: Sequence[Column]) -> bytes:
    """All rows, as ``COPY … FROM STDIN (FORMAT binary)`` takes them."""
    fields: list[tuple[str, npt.DTypeLike]] = [("columns", ">i2")]
    for number, column in enumerate(columns):
        fields += [(f"bytes {number}", ">i4"), (f"value {number}", column.values.dtype)]
    table = np.empty(columns[0].values.size, fields)
    table["columns"] = len(columns)
    for number, (values, used) in enumerate(columns):
        table[f"bytes {number}"] = values.itemsize if used is None else used
        table[f"value {number}"] = values
    return HEADER + _without_what_is_not_used(table, columns) + TRAILER


def _without_what_is_not_used(table: npt.NDArray[np.void], columns: Sequence[Column]) -> bytes:
    offsets: Mapping[str, Any] = table.dtype.fields or {}
    kept = np.ones((table.size, table.itemsize), dtype=bool)
    for number, (values, used) in enumerate(columns):
        if used is not None:
            first = offsets[f"value {number}"][1]
            kept[:, first : first + values.itemsize] = np.arange(values.itemsize) < used[:, None]
    return b"" if not table.size else table.view(np.uint8).reshape(kept.shape)[kept].tobytes()
