"""What intake needs of the bus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemas.records import RawRecord


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one poll and, per topic and partition, the offset that follows the last of them."""

    records: tuple[RawRecord, ...]
    next_offsets: Mapping[tuple[str, int], int]


class RecordReader(Protocol):
    """Commands as they come from the bus."""

    @property
    def generation(self) -> int:
        """Another number whenever partitions were taken away, also if they were given back."""
        ...

    async def poll(self, at_most: int | None = None) -> Batch:
        """The next records, no more than a batch or ``at_most``; empty after a bounded wait.

        Raises:
            TransientError: The bus is away; the next poll may begin anew behind what was committed.
        """
        ...

    async def commit(self, next_offsets: Mapping[tuple[str, int], int]) -> None:
        """Mark what stands before these offsets as read, per topic and partition. One call at a time.

        Raises:
            OffsetsLostError: The partitions belong to another member by now.
            TransientError: The bus is away, and the offsets may or may not be committed.
        """
        ...

    async def leave(self) -> None:
        """Give all partitions to the other members at once; nothing is read any more."""
        ...
