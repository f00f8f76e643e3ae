"""Why a record is refused."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from schemas.enums import RejectionCode
from schemas.records import Envelope


@dataclass(frozen=True, slots=True)
class FieldError:
    """One reason for a rejection."""

    path: Annotated[
        str,
        Field(
            description="The field or header as the producer spelled it (`horizonteSemanas`, `produto_ids[3]`, "
            "`ce_id`); `value` for the record's value as a whole."
        ),
    ]
    code: Annotated[RejectionCode | str, Field(description="One of the known codes; later services may add some.")]
    message: Annotated[
        str, Field(description="For people: the field, what is wrong with its value, what would be right.")
    ]


class BadRecord(Exception):  # noqa: N818 - what the contract calls it: a bad record, not an error of ours
    """A record that is no valid command, with everything that could be read of it all the same.

    Attributes:
        errors: At least one.
        envelope: Identity, reply address and trace; None only from ``parse_command``, which sees data alone.
        execucao_id: The execution that the data names, if that much was readable.
    """

    def __init__(
        self, errors: tuple[FieldError, ...], envelope: Envelope | None = None, execucao_id: str | None = None
    ) -> None:
        super().__init__("; ".join(error.message for error in errors))
        self.errors = errors
        self.envelope = envelope
        self.execucao_id = execucao_id

    @property
    def reason(self) -> str:
        """Code of the first error: ``dlq-reason``."""
        return str(self.errors[0].code)


class UnreadableRecord(BadRecord):
    """No command can be read: value or envelope are broken. Dead letter, and rejected."""


class InvalidCommand(BadRecord):
    """Readable, but the type contradicts the topic or the data breaks a rule. Dead letter, and rejected."""
