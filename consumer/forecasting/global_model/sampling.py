"""Which rows a global model learns from: the same ones whatever the chunks, the processes and their order."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consumer.forecasting.types import IntArray

KeyArray = npt.NDArray[np.uint64]

TRAINING_ROWS: Final = 300_000
_BYTES: Final = 8


def product_keys(product_ids: Sequence[str], seed: int) -> KeyArray:
    """Give each product a number that looks random."""
    digests = (blake2b(f"{seed}:{name}".encode(), digest_size=_BYTES).digest() for name in product_ids)
    keys: KeyArray = np.frombuffer(b"".join(digests), dtype=np.uint64)
    return keys


def row_keys(product: KeyArray, known: IntArray, ahead: IntArray) -> KeyArray:
    """Mix a product's key with a row's place (finaliser of splitmix64, Steele, Lea and Flood 2014)."""
    mixed = product + (known.astype(np.uint64) << np.uint64(8)) + ahead.astype(np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    keys: KeyArray = mixed ^ (mixed >> np.uint64(31))
    return keys


def kept_rows(product: IntArray, keys: KeyArray, most: int) -> IntArray:
    """Indices of the rows with the lowest keys of each product, at most so many of each, in order.

    Args:
        product: ``(rows,)`` ascending.
    """
    order = np.lexsort((keys, product))
    first = np.searchsorted(product, product)
    rank = np.arange(product.size) - first
    kept: IntArray = np.sort(order[rank < most])
    return kept


def rows_per_product(products: int, rows: int = TRAINING_ROWS) -> int:
    """Most rows of one product so that all products together stay below ``rows``; at least one."""
    return max(1, rows // max(products, 1))
