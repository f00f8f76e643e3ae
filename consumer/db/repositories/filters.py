"""Conditions that several repositories need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import ARRAY, CollectionAggregate, Text, any_, bindparam

if TYPE_CHECKING:
    from collections.abc import Sequence


def any_of(ids: Sequence[str]) -> CollectionAggregate[bool]:
    """What a column must equal to be one of the ids: one array parameter, where IN ends at 32,767 ids."""
    return any_(bindparam(None, list(ids), ARRAY(Text)))
