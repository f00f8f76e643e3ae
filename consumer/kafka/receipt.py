"""What became of messages that were sent together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiokafka.errors import (
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    RecordTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from consumer.errors import PublishError, RecordRefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consumer.kafka.batches import Batch, BatchLimits
    from consumer.outbound import OutboxMessage

_TOO_LARGE: Final = (MessageSizeTooLargeError, RecordTooLargeError, RecordListTooLargeError)
_FINAL: Final = (*_TOO_LARGE, InvalidTopicError)
_FINAL_ON_REPLIES: Final = (UnknownTopicOrPartitionError, TopicAuthorizationFailedError, AssertionError)

Outcome = Exception | None


@dataclass(frozen=True, slots=True)
class HandedOver:
    """A batch that the producer has; ``own`` tells one of our topics from a client's."""

    topic: str
    batch: Batch
    future: asyncio.Future[object]
    own: bool


class Sent:
    """``consumer.ports.relay.Receipt``: until something else is known, nothing counts as acknowledged.

    Args:
        messages: In their order.
        deadline: Of all acknowledgements, by the loop's clock.
        limits: Learn of batches that were too large, and of those that were not.
    """

    def __init__(self, messages: Sequence[OutboxMessage], deadline: float, limits: BatchLimits) -> None:
        self.messages = messages
        self.deadline = deadline
        self.outcomes: list[Outcome] = [None] * len(messages)
        self._limits = limits
        self._waiting: list[HandedOver] = []

    def settle(self, positions: Sequence[int], outcome: Outcome) -> None:
        """The outcome of some messages is known, or unknown so far."""
        for position in positions:
            self.outcomes[position] = outcome

    def await_batch(self, handed: HandedOver) -> None:
        """Take the outcome of a batch's messages from its future."""
        handed.future.add_done_callback(_look_at)  # one that is given up must not be told as forgotten when it fails
        self._waiting.append(handed)

    @property
    def complete(self) -> bool:
        """Whether every outcome is there without waiting."""
        return all(handed.future.done() for handed in reversed(self._waiting))

    def give_up(self) -> None:
        """Nothing will be acknowledged any more."""
        for handed in self._waiting:
            handed.future.cancel()

    async def wait(self) -> list[Outcome]:
        """The outcome of each message; what the broker has not said by the deadline stays unknown."""
        try:
            async with asyncio.timeout_at(self.deadline):
                for handed in self._waiting:
                    if not handed.future.done():
                        await asyncio.wait((handed.future,))
                    self.settle(handed.batch.positions, self._outcome(handed))
        except TimeoutError:
            pass
        return self.outcomes

    def _outcome(self, handed: HandedOver) -> Outcome:
        if handed.future.cancelled():
            return PublishError("not acknowledged by the broker before the producer was given up")
        error = handed.future.exception()
        if error is None:
            self._limits.took(handed.topic, handed.batch)
            return None
        if not isinstance(error, KafkaError):
            raise error
        if isinstance(error, _TOO_LARGE) and len(handed.batch.positions) > 1:
            self._limits.lower(handed.topic, handed.batch)
            return PublishError(f"{type(error).__name__}: {handed.topic} takes smaller batches")
        return outcome_of(error, own=handed.own)


def outcome_of(error: Exception, *, own: bool) -> Exception:
    """Whether an error is final for its messages, RecordRefusedError, or leaves open what became of them."""
    reason = f"{type(error).__name__}: {error}"
    if isinstance(error, _FINAL) or (not own and isinstance(error, _FINAL_ON_REPLIES)):
        return RecordRefusedError(reason)
    return PublishError(reason)


def _look_at(future: asyncio.Future[object]) -> None:
    if not future.cancelled():
        future.exception()
