from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from schemas.enums import EventType
from tests.support.evidence import Evidence, Position, Sent
from tests.support.invariants import violations
from tests.support.journal import Journal, Message
from tests.support.topics import Topics

if TYPE_CHECKING:
    from collections.abc import Callable

TOPICS = Topics("t.", "nowhere", "given")
GOOD = Sent(TOPICS.predict, 0, 0, 5, "predict", good=True, source="/s", event_id="1")
BAD = Sent(TOPICS.predict, 0, 1, 5, "predict", good=False, source="/s", event_id="2")
COMMAND = {"execucao_id": "e", "comando": "predict", "status_sequence": 3, "step_sequence": 1, "reply_topic": None}


def event(topic: str, name: str, kind: EventType, **data: Any) -> Message:
    headers = (("ce_id", name.encode()), ("ce_type", kind.encode()))
    return Message(topic, 0, 0, b"e", json.dumps({"execucao_id": "e", **data}).encode(), headers)


def status(number: int, name: str, *, terminal: bool = False) -> Message:
    return event(TOPICS.status, f"e:status:{number}", EventType.STATUS, sequence=number, status=name, terminal=terminal)


def letter(position: Position) -> Message:
    names = ("topic", "partition", "offset", "timestamp")
    headers = tuple((f"dlq-{name}", str(value).encode()) for name, value in zip(names, position, strict=True))
    return Message(TOPICS.dlq, 0, 0, None, b"{", headers)


STEP = event(TOPICS.step_log, "e:step:1", EventType.STEP_LOG, sequence=1)
REJECTION = event(TOPICS.status, BAD.position.rejection_id, EventType.COMMAND_REJECTED)
MESSAGES = (
    status(1, "PENDENTE"),
    status(2, "EXECUTANDO"),
    STEP,
    status(3, "CONCLUIDO", terminal=True),
    REJECTION,
    letter(BAD.position),
)


def evidence(*messages: Message, **changes: Any) -> Evidence:
    journal = Journal()
    for message in messages:
        journal.add(message)
    kept = Evidence(
        topics=TOPICS,
        sent=(GOOD, BAD),
        journal=journal,
        commands={GOOD.identity: COMMAND},
        executions={"e": "CONCLUIDO"},
        refused={BAD.position},
        unsent=set(),
        doubled=[],
        committed={(TOPICS.predict, 0): 2},
    )
    return replace(kept, **changes)


def without(number: int) -> tuple[Message, ...]:
    return MESSAGES[:number] + MESSAGES[number + 1 :]


BROKEN: dict[str, tuple[str, Callable[[], Evidence]]] = {
    "command lost": ("I1", lambda: evidence(*MESSAGES, commands={})),
    "command invented": ("I1", lambda: evidence(*MESSAGES, sent=(BAD,))),
    "never ended": ("I1", lambda: evidence(*MESSAGES, executions={"e": "EXECUTANDO"})),
    "no dead letter": ("I1", lambda: evidence(*without(5))),
    "good record buried": ("I1", lambda: evidence(*MESSAGES, letter(GOOD.position))),
    "no rejection": ("I1", lambda: evidence(*without(4))),
    "two ends": ("I2", lambda: evidence(*MESSAGES, status(4, "ERRO", terminal=True))),
    "table says otherwise": ("I2", lambda: evidence(*MESSAGES, executions={"e": "PARCIAL"})),
    "event lost": ("I4", lambda: evidence(*without(2))),
    "event invented": ("I4", lambda: evidence(*MESSAGES, replace_id(STEP, "e:step:2"))),
    "other bytes": ("I4", lambda: evidence(*MESSAGES, replace(STEP, value=b'{"execucao_id": "e", "sequence": 9}'))),
    "dead letter uncommitted": ("I4", lambda: evidence(*MESSAGES, refused=set())),
    "out of order": ("I5", lambda: evidence(MESSAGES[1], MESSAGES[0], *MESSAGES[2:])),
    "record skipped": ("I6", lambda: evidence(*MESSAGES, refused=set())),
    "result twice": ("I8", lambda: evidence(*MESSAGES, doubled=["e P1 2024-01-01 VOLUME: 2 rows"])),
}


def replace_id(message: Message, name: str) -> Message:
    return replace(message, headers=(("ce_id", name.encode()), *message.headers[1:]))


def test_kept_promises_are_no_violation() -> None:
    """A run in which all went well, with a message sent twice and one still waiting, breaks nothing."""
    assert violations(evidence(*MESSAGES, STEP)) == []
    assert violations(evidence(*without(2), unsent={"e:step:1"})) == []


@pytest.mark.parametrize("name", BROKEN)
def test_broken_promise_is_found(name: str) -> None:
    """Each way to break a promise is reported under the name of its invariant."""
    invariant, broken = BROKEN[name]
    assert invariant in {line[:2] for line in violations(broken())}
