"""Whole histories to learn from, for networks that cut their own windows; a sample, so that memory stays bounded."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from consumer.forecasting.global_model.sampling import product_keys

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from consumer.forecasting.global_model.base import ArrowTable, Panel
    from consumer.forecasting.types import FloatArray, IntArray
    from schemas.enums import TargetType

MOST_PRODUCTS: Final = 10_000
MINIMUM_PRODUCTS: Final = 20

_KEY, _WEEK, _VALUE = "key", "week", "value"
_KEYS: Final = 2**64


class TooFewSeriesError(Exception):
    """There are too few histories to learn from; the message says how many."""


@dataclass(frozen=True, slots=True)
class Series:
    """Histories one after the other.

    Attributes:
        start: ``(n + 1,)`` where each begins in ``values``, and the end of the last.
        values: ``(weeks of all,)`` units or money.
    """

    start: IntArray
    values: FloatArray


def series_table(panel: Panel, target: TargetType, *, products_total: int, seed: int) -> ArrowTable:
    """Give the histories of those products of a chunk that belong to the sample.

    A product is in it by its id and the seed alone, about ``MOST_PRODUCTS`` of all.

    Returns:
        ``key`` of the product, ``week`` (days since 1970) and ``value``, a row a week.
    """
    arrow: Any = import_module("pyarrow")
    keys = product_keys(panel.product_ids, seed)
    lengths = np.diff(panel.start)
    chosen = np.repeat(keys <= np.uint64(min(1.0, MOST_PRODUCTS / max(products_total, 1)) * (_KEYS - 2**11)), lengths)
    back = np.repeat(panel.start[1:], lengths) - 1 - np.arange(panel.start[-1])
    week = np.datetime64(panel.last_week, "D").astype(np.int64) - 7 * back
    columns: dict[str, Any] = {
        _KEY: np.repeat(keys, lengths),
        _WEEK: week.astype(np.int32),
        _VALUE: panel.target(target),
    }
    return arrow.table({name: values[chosen] for name, values in columns.items()})


def stacked(tables: Iterable[ArrowTable], known_until: date, *, least_weeks: int) -> Series:
    """Put the histories of all chunks together, in an order that does not depend on the chunks.

    Raises:
        TooFewSeriesError: Fewer than ``MINIMUM_PRODUCTS`` have ``least_weeks`` up to ``known_until``.
    """
    columns: dict[str, list[Any]] = {name: [] for name in (_KEY, _WEEK, _VALUE)}
    for table in tables:
        for name, parts in columns.items():
            parts.append(table[name].to_numpy())
    key, week, value = (np.concatenate(parts) if parts else np.empty(0) for parts in columns.values())
    seen = week <= np.datetime64(known_until, "D").astype(np.int64)
    order = np.lexsort((week[seen], key[seen]))
    _, product, weeks = np.unique(key[seen][order], return_inverse=True, return_counts=True)
    long = weeks >= least_weeks
    if np.count_nonzero(long) < MINIMUM_PRODUCTS:
        message = f"{np.count_nonzero(long)} products with {least_weeks} weeks, {MINIMUM_PRODUCTS} are needed"
        raise TooFewSeriesError(message)
    return Series(_starts(weeks[long]), value[seen][order][long[product]].astype(np.float64))


def latest(panel: Panel, target: TargetType, weeks: int) -> Series:
    """Give the last weeks of each history, the whole of one that is shorter."""
    lengths = np.diff(panel.start)
    back = np.repeat(panel.start[1:], lengths) - np.arange(panel.start[-1])
    return Series(_starts(np.minimum(lengths, weeks)), panel.target(target)[back <= weeks])


def _starts(lengths: IntArray) -> IntArray:
    return np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
