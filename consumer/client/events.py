"""What the service answers, read as a subscriber must: by ``ce_type``, unknown fields ignored. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from schemas.enums import EventType
from schemas.events import (
    CommandRejected,
    ExecutionStatusChanged,
    StepLogged,
    UnreadableEventError,
    parse_rejection,
    parse_status,
    parse_step_log,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from schemas.records import RawRecord

Body = ExecutionStatusChanged | StepLogged | CommandRejected

_PARSERS: Final[Mapping[str, Callable[[bytes], Body]]] = {
    EventType.STATUS: parse_status,
    EventType.STEP_LOG: parse_step_log,
    EventType.COMMAND_REJECTED: parse_rejection,
}


@dataclass(frozen=True, slots=True)
class Event:
    """One reply of the service.

    Attributes:
        id: ``ce_id``; the same event delivered twice has the same.
        correlation_id: The command's, echoed.
        causation_id: Id of the command that caused it.
        body: What it tells.
    """

    id: str
    type: EventType
    correlation_id: str | None
    causation_id: str | None
    body: Body

    @property
    def execucao_id(self) -> str | None:
        """The execution that it is about; None for the rejection of a command that names none."""
        return self.body.execucao_id

    @property
    def terminal(self) -> bool:
        """Whether the command that caused it has come to its end."""
        if isinstance(self.body, ExecutionStatusChanged):
            return self.body.terminal
        return isinstance(self.body, CommandRejected)

    def as_json(self) -> dict[str, Any]:
        """Attributes and data as JSON values."""
        attributes = {"id": self.id, "type": self.type.value, "correlation_id": self.correlation_id}
        data = json.loads(self.body.to_json())
        return {**attributes, "causation_id": self.causation_id, "data": data}


def read_event(record: RawRecord) -> Event:
    """Read one record of a reply topic.

    Raises:
        UnreadableEventError: It is none of the three events, or has no ``ce_id``.
    """
    headers = {name: value.decode("utf-8", "replace") for name, value in record.headers if value is not None}
    told = headers.get("ce_type")
    parser = _PARSERS.get(told or "")
    if parser is None or told is None:
        raise UnreadableEventError(f"ce_type is {told!r}; expected one of {', '.join(_PARSERS)}")
    if "ce_id" not in headers:
        raise UnreadableEventError("the header ce_id is missing: duplicates could not be told")
    body = parser(record.value or b"")
    ids = headers.get("ce_correlationid"), headers.get("ce_causationid")
    return Event(headers["ce_id"], EventType(told), *ids, body)
