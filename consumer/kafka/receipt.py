"""What became of messages that were sent together."""

from __future__ import annotations

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
    import asyncio
    from collections.abc import Awaitable, Callable, Sequence

    from consumer.kafka.answers import Answer
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
    answer: Answer
    own: bool


class Sent:
    """``consumer.ports.relay.Receipt``: until something else is known, nothing counts as acknowledged.

    Args:
        messages: In their order.
        deadline: Of all acknowledgements, by the loop's clock.
        limits: Learn of batches that were too large, and of those that were not.
        broker_answers: Ask the broker anything: whether it is one partition that takes nothing, or nobody answers.
    """

    def __init__(
        self,
        messages: Sequence[OutboxMessage],
        deadline: float,
        limits: BatchLimits,
        broker_answers: Callable[[], Awaitable[bool]],
    ) -> None:
        self.messages = messages
        self.deadline = deadline
        self.outcomes: list[Outcome] = [None] * len(messages)
        self._limits = limits
        self._broker_answers = broker_answers
        self._waiting: list[HandedOver] = []
        self._waited = False

    def settle(self, positions: Sequence[int], outcome: Outcome) -> None:
        """The outcome of some messages is known, or unknown so far."""
        for position in positions:
            self.outcomes[position] = outcome

    def await_batch(self, handed: HandedOver) -> None:
        """Take the outcome of a batch's messages from its future."""
        # One that is given up must not be told as forgotten when it fails.
        handed.answer.future.add_done_callback(_look_at)
        self._waiting.append(handed)

    @property
    def complete(self) -> bool:
        """Whether every outcome is there without waiting."""
        return self._waited or all(handed.answer.future.done() for handed in reversed(self._waiting))

    def give_up(self) -> None:
        """Nothing will be acknowledged any more."""
        for handed in self._waiting:
            handed.answer.future.cancel()

    async def wait(self) -> list[Outcome]:
        """The outcome of each message; what the broker has not said by the deadline stays unknown.

        But for replies: if they alone are late, and a broker answers, theirs are partitions that take nothing.
        """
        late: list[HandedOver] = []
        for handed in self._waiting:
            if await handed.answer.came():
                self.settle(handed.batch.positions, self._outcome(handed))
            else:
                late.append(handed)
        if late and not any(handed.own for handed in late) and await self._broker_answers():
            for handed in late:
                self.settle(handed.batch.positions, takes_nothing(handed.topic, handed.batch))
        self._waited = True
        return self.outcomes

    def _outcome(self, handed: HandedOver) -> Outcome:
        future = handed.answer.future
        if future.cancelled():
            return PublishError("not acknowledged by the broker before the producer was given up")
        error = future.exception()
        if error is None:
            self._limits.took(handed.topic, handed.batch)
            return None
        if not isinstance(error, KafkaError):
            raise error
        if isinstance(error, _TOO_LARGE) and len(handed.batch.positions) > 1:
            self._limits.lower(handed.topic, handed.batch)
            return PublishError(f"{type(error).__name__}: {handed.topic} takes smaller batches")
        return outcome_of(error, own=handed.own)


def takes_nothing(topic: str, batch: Batch) -> RecordRefusedError:
    """What becomes of replies whose partition leaves a batch without an answer, for want of replicas perhaps."""
    return RecordRefusedError(f"partition {batch.partition} of {topic} takes nothing: too few replicas in sync?")


def outcome_of(error: Exception, *, own: bool) -> Exception:
    """Whether an error is final for its messages, RecordRefusedError, or leaves open what became of them."""
    reason = f"{type(error).__name__}: {error}"
    if isinstance(error, _FINAL) or (not own and isinstance(error, _FINAL_ON_REPLIES)):
        return RecordRefusedError(reason)
    return PublishError(reason)


def _look_at(future: asyncio.Future[object]) -> None:
    if not future.cancelled():
        future.exception()
