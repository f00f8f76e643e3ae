"""Messages become record batches here, and not in the producer, which would make a future for each message."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiokafka.errors import MessageSizeTooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from consumer.outbound import OutboxMessage

MAX_REQUEST_BYTES: Final = 32 * 1024 * 1024  # a dead letter is as large as the record was; the broker has the last word
BATCH_BYTES: Final = 256 * 1024


@dataclass(slots=True)
class Batch:
    """Messages of one partition that the broker takes or refuses together.

    Attributes:
        builder: Of aiokafka.
        positions: Where its messages stand among those that were sent with them; in the batch they are in this order.
    """

    partition: int
    builder: Any
    positions: list[int] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes."""
        return int(self.builder.size())


class BatchLimits:
    """How large a batch of several messages may be, by topic.

    A broker refuses a batch as a whole, by its topic's ``max.message.bytes``. From then on that topic's batches are at
    most half as large, down to one message each, so that in the end it refuses that message alone which is too large.
    """

    def __init__(self) -> None:
        self._lowered: dict[str, int] = {}
        self._taken: dict[str, int] = {}

    def of(self, topic: str) -> int:
        """Bytes at which a batch is full."""
        return self._lowered.get(topic, BATCH_BYTES)

    def may_be_refused(self, topic: str, batch: Batch) -> bool:
        """Whether it may turn out to be too large with others in it that are not: the topic has taken none so large."""
        return len(batch.positions) > 1 and batch.size > self._taken.get(topic, 0)

    def took(self, topic: str, batch: Batch) -> None:
        """Learn from a batch that was not too large."""
        self._taken[topic] = max(self._taken.get(topic, 0), batch.size)

    def lower(self, topic: str, refused: Batch) -> None:
        """Learn from a batch of several messages that was too large."""
        self._lowered[topic] = min(self.of(topic), refused.size) // 2


class Filling:
    """The batches of one topic while messages are put into them, in order.

    Args:
        create: Makes an empty builder of aiokafka, which takes ``BATCH_BYTES``, or one message of any size.
        most_bytes: A batch that has so many is closed.
    """

    def __init__(self, create: Callable[[], Any], most_bytes: int) -> None:
        self._create = create
        self._most_bytes = most_bytes
        self._open: dict[int, Batch] = {}
        self._of: dict[int, list[Batch]] = {}

    def add(self, position: int, partition: int, message: OutboxMessage) -> None:
        """Put a message behind all before it in its partition.

        Raises:
            MessageSizeTooLargeError: It is larger than a request may be. It was left out, and so are those below.
            TypeError, ValueError: It cannot be written as a record.
        """
        batch = self._open.get(partition) or self._begin(partition)
        if not _append(batch, message):
            batch = self._begin(partition)
            _append(batch, message)
        size = batch.size
        if size >= self._most_bytes:
            del self._open[partition]
            if size > MAX_REQUEST_BYTES:  # it is alone, for it would not have fitted behind another one
                self._of[partition].remove(batch)
                raise MessageSizeTooLargeError(f"{size} bytes are more than a request may have ({MAX_REQUEST_BYTES})")
        batch.positions.append(position)

    def batches(self) -> Iterator[Batch]:
        """Each partition's in their order, the first ones of all partitions before the second ones.

        The producer takes a partition's next batch when it has begun to send the one before, and all partitions' of a
        broker are one request.
        """
        waves = max(map(len, self._of.values()), default=0)
        for wave in range(waves):
            for batches in self._of.values():
                if wave < len(batches) and batches[wave].positions:
                    yield batches[wave]

    def _begin(self, partition: int) -> Batch:
        batch = self._open[partition] = Batch(partition, self._create())
        self._of.setdefault(partition, []).append(batch)
        return batch


def _append(batch: Batch, message: OutboxMessage) -> bool:
    """Whether there was room; there always is in an empty batch."""
    record = batch.builder.append(timestamp=None, key=message.key, value=message.value, headers=list(message.headers))
    return record is not None
