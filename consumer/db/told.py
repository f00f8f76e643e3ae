"""What is kept of an execution's events, so that they can be sent again as they were first sent.

Outbox rows go when the broker has them. Kept are the terminal status and the event with which each step ended, as
the text that was sent: JSONB keeps a string as it is, while it would sort the fields of an object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemas.enums import StepStatus
from schemas.events import StepLogged, parse_status, parse_step_log

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from consumer.model import Event
    from consumer.outbound import Cause, Composer, OutboxMessage

_STATUS: Final = "status"  # beside the numbers of the steps


def last_words(told: Iterable[tuple[Event, bytes]]) -> dict[str, str]:
    """Of events and their values, what ``command.told`` keeps: the end of each step and of the execution."""
    kept: dict[str, str] = {}
    for event, value in told:
        if isinstance(event, StepLogged):
            if event.status is not StepStatus.RUNNING:
                kept[str(event.step_order)] = value.decode()
        elif event.terminal:
            kept[_STATUS] = value.decode()
    return kept


def retold(told: Mapping[str, str], cause: Cause, composer: Composer) -> list[OutboxMessage]:
    """The messages that carried these events, steps in order, the status last; no copy for a NestJS client.

    Key and headers follow from event and cause as they did the first time; the value is the text that was kept.
    """
    unanswered = cause._replace(reply=None)
    steps = [(parse_step_log(text.encode()), text) for name, text in told.items() if name != _STATUS]
    events: list[tuple[Event, str]] = [*sorted(steps, key=lambda step: step[0].sequence)]
    if _STATUS in told:
        events.append((parse_status(told[_STATUS].encode()), told[_STATUS]))
    return [
        message._replace(value=text.encode())
        for event, text in events
        for message in composer.compose(event, unanswered)
    ]
