"""A dead letter and the record that it was: what appended headers tell, and how the record goes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from consumer.model import ExecutionId
from consumer.outbound import OutboxMessage
from consumer.received import Identity, receive
from schemas.enums import TopicKind
from schemas.records import RawRecord

if TYPE_CHECKING:
    from schemas.records import RawHeaders

_FIRST: Final = "dlq-reason"  # from here on the headers are the service's, not the record's
_KEY_HEADER: Final = "idempotency-key"
_ANY_KIND: Final = TopicKind.PREDICT  # of no matter to an identity


class NoDeadLetterError(ValueError):
    """A record of the dead-letter topic that this service did not put there."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that was refused.

    Attributes:
        raw: As it stands on the dead-letter topic.
        original: As it stood on its own topic.
        reason: Code of the first error.
        error: Every reason, for people.
    """

    raw: RawRecord
    original: RawRecord
    reason: str
    error: str

    @property
    def identity(self) -> Identity:
        """The identity of the command by the contract's rules, as far as it could be read."""
        item = receive(self.original, _ANY_KIND, lambda: ExecutionId(""))
        return Identity(item.envelope.source, item.envelope.id)

    def put_back(self) -> OutboxMessage:
        """The original record again, for its own topic.

        A record that is identified by its position alone would have another identity at another position: the header
        ``idempotency-key`` gives it the one that it had.
        """
        headers = self.original.headers
        by_position = self.identity == (f"kafka:{self.original.topic}", self.original.position)
        if by_position and not any(name.lower() == _KEY_HEADER for name, _ in headers):
            headers = (*headers, (_KEY_HEADER, self.original.position.encode()))
        name = f"{self.raw.topic}/{self.raw.partition}/{self.raw.offset}"
        return OutboxMessage(name, self.original.topic, None, self.raw.key, self.raw.value, headers)


def read_letter(raw: RawRecord) -> DeadLetter:
    """Read a record of the dead-letter topic.

    Raises:
        NoDeadLetterError: It does not say why or from where it came.
    """
    begins = [position for position, (name, _) in enumerate(raw.headers) if name == _FIRST]
    told = _told(raw.headers[begins[-1] :]) if begins else {}
    try:
        place = told["dlq-topic"], int(told["dlq-partition"]), int(told["dlq-offset"]), int(told["dlq-timestamp"])
        original = RawRecord(*place, raw.key, raw.value, raw.headers[: begins[-1]])
        return DeadLetter(raw, original, told[_FIRST], told.get("dlq-error", ""))
    except (KeyError, ValueError) as error:
        where = f"{raw.topic}/{raw.partition}/{raw.offset}"
        raise NoDeadLetterError(f"{where} is no dead letter of this service: {error!r}") from None


def _told(headers: RawHeaders) -> dict[str, str]:
    return {name: value.decode("utf-8", "replace") for name, value in headers if value is not None}
