"""The checker finds each way to break an invariant, and nothing in a run in which all went well."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from schemas.enums import EventType
from schemas.records import RawRecord
from tests.chaos.checker import INVARIANTS, LONG_SECONDS, decided_already, verdict
from tests.chaos.evidence import Audited, Findings
from tests.chaos.history import History
from tests.chaos.records import REPLY, TINY_REPLY
from tests.support.evidence import Evidence, Position, Sent
from tests.support.journal import Journal, Message
from tests.support.topics import Topics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TOPICS = Topics("t.", "nowhere", "given")
GOOD = Sent(TOPICS.predict, 0, 0, 5, "predict", good=True, source="/s", event_id="1")
BAD = Sent(TOPICS.predict, 0, 1, 5, "predict", good=False, source="/s", event_id="2")
COMMAND = {
    "execucao_id": "e",
    "comando": "predict",
    "status_sequence": 3,
    "step_sequence": 1,
    "reply_topic": TOPICS.name(REPLY),
}


def event(topic: str, name: str, kind: EventType, **data: Any) -> Message:
    headers = (("ce_id", name.encode()), ("ce_type", kind.encode()))
    return Message(topic, 0, 0, b"e", json.dumps({"execucao_id": "e", **data}).encode(), headers)


def status(number: int, name: str, *, attempt: int = 1, topic: str = TOPICS.status, terminal: bool = False) -> Message:
    told = {"sequence": number, "status": name, "attempt": attempt, "terminal": terminal}
    return event(topic, f"e:status:{number}", EventType.STATUS, **told)


def letter(position: Position) -> Message:
    names = ("topic", "partition", "offset", "timestamp")
    named = tuple((f"dlq-{name}", str(value).encode()) for name, value in zip(names, position, strict=True))
    return Message(TOPICS.dlq, 0, 0, None, b"{", (("ce_id", f"{position.rejection_id}:dlq".encode()), *named))


STATUSES = (
    status(1, "PENDENTE", attempt=0),
    status(2, "EXECUTANDO"),
    status(3, "CONCLUIDO", terminal=True),
)
STEP = event(TOPICS.step_log, "e:step:1", EventType.STEP_LOG, sequence=1)
REJECTION = event(TOPICS.status, BAD.position.rejection_id, EventType.COMMAND_REJECTED)
REPLIES = tuple(replace(message, topic=TOPICS.name(REPLY)) for message in STATUSES)
MESSAGES = (*STATUSES, STEP, REJECTION, letter(BAD.position))
FORECAST = {"id": "e", "told": 8, "found": 8, "products": 1, "without_price": 0, "weeks": 4}


def audited(message: Message, number: int, *, waiting: float | None = None, parked: bool = False) -> Audited:
    return Audited(number, message.event_id, parked, message.content[:1] + message.content[2:], waiting)


OUTBOX = tuple(audited(message, number) for number, message in enumerate((*MESSAGES, *REPLIES)))


def journal_of(*messages: Message) -> Journal:
    journal = Journal()
    for message in messages:
        journal.add(message)
    return journal


def raw(sent: Sent) -> RawRecord:
    place = {"topic": sent.topic, "partition": sent.partition, "offset": sent.offset}
    return RawRecord(**place, timestamp_ms=5, key=None, value=b"{}", headers=())


def healthy(*messages: Message, **changes: Any) -> Evidence:
    kept = Evidence(
        topics=TOPICS,
        sent=(GOOD, BAD),
        journal=journal_of(*(messages or MESSAGES)),
        commands={GOOD.identity: COMMAND},
        executions={"e": "CONCLUIDO"},
        refused={BAD.position},
        unsent=set(),
        doubled=[],
        committed={(TOPICS.predict, 0): 2},
    )
    return replace(kept, **changes)


def findings(evidence: Evidence | None = None, **changes: Any) -> Findings:
    kept = Findings(
        evidence=evidence or healthy(),
        replies=journal_of(*REPLIES),
        records=(raw(GOOD), raw(BAD)),
        outbox=OUTBOX,
        gone={row.number for row in OUTBOX},
        statuses=[("e", "PENDENTE", "EXECUTANDO"), ("e", "EXECUTANDO", "CONCLUIDO")],
        fenced={("command", 1, 1): 3},
        forecasts=[FORECAST],
    )
    return replace(kept, **changes)


@pytest.fixture
def history(tmp_path: Path) -> History:
    """The driver sent both records, and both were acknowledged."""
    told = History(tmp_path / "history.jsonl")
    for sent in (GOOD, BAD):
        attempt = told.invoked("command", sent.kind, "good", sent.identity)
        attempt.place = (sent.topic, sent.partition, sent.offset)
    return told


def without(number: int) -> Evidence:
    return healthy(*MESSAGES[:number], *MESSAGES[number + 1 :])


LATE = status(4, "EXECUTANDO", attempt=0)
BROKEN: dict[str, tuple[str, Callable[[], Findings]]] = {
    "acknowledged record lost": ("I1", lambda: findings(records=(raw(GOOD),))),
    "command lost": ("I1", lambda: findings(healthy(commands={}))),
    "command invented": ("I1", lambda: findings(healthy(sent=(BAD,)))),
    "never ended": ("I1", lambda: findings(healthy(executions={"e": "EXECUTANDO"}))),
    "no dead letter": ("I1", lambda: findings(without(5))),
    "good record buried": ("I1", lambda: findings(healthy(*MESSAGES, letter(GOOD.position)))),
    "two ends told": ("I2", lambda: findings(healthy(*MESSAGES, status(4, "ERRO", terminal=True)))),
    "end changed": ("I2", lambda: findings(statuses=[("e", "CONCLUIDO", "ERRO")])),
    "end taken back": ("I2", lambda: findings(statuses=[("e", "ERRO", "PENDENTE")])),
    "execution deleted": ("I2", lambda: findings(statuses=[("e", "EXECUTANDO", "DELETED")])),
    "old epoch written": ("I3", lambda: findings(fenced={("forecast_resultado", 1, 2): 1})),
    "event of an old attempt": ("I3", lambda: findings(healthy(*MESSAGES, LATE))),
    "event lost": ("I4", lambda: findings(without(3))),
    "event uncommitted": ("I4", lambda: findings(outbox=OUTBOX[1:])),
    "other bytes": ("I4", lambda: findings(healthy(*MESSAGES, replace(STEP, value=b'{"execucao_id": "e"}')))),
    "row parked without need": ("I4", lambda: findings(outbox=(*OUTBOX[1:], replace(OUTBOX[0], parked=True)))),
    "row passed over": ("I4", lambda: findings(outbox=(passed_over(), *OUTBOX[1:]))),
    "reply lost": ("I4", lambda: findings(replies=journal_of(*REPLIES[:2]))),
    "status out of order": ("I5", lambda: findings(healthy(MESSAGES[1], MESSAGES[0], *MESSAGES[2:]))),
    "reply out of order": ("I5", lambda: findings(replies=journal_of(REPLIES[1], REPLIES[0], REPLIES[2]))),
    "reply missing between two": ("I5", lambda: findings(replies=journal_of(REPLIES[0], REPLIES[2]))),
    "record skipped": ("I6", lambda: findings(healthy(commands={}))),
    "forecast twice": ("I8", lambda: findings(healthy(doubled=["e P1 2024-01-01 VOLUME: 2 rows"]))),
    "forecasts missing": ("I8", lambda: findings(forecasts=[{**FORECAST, "found": 7}])),
    "summary wrong": ("I8", lambda: findings(forecasts=[{**FORECAST, "weeks": 5}])),
}
# Of a service that has not finished, these look the same as of one that will.
FINISHED_ONLY = {
    "acknowledged record lost",
    "command lost",
    "never ended",
    "no dead letter",
    "good record buried",
    "row parked without need",
    "reply out of order",
    "reply missing between two",
    "record skipped",
    "forecasts missing",
    "summary wrong",
}


def passed_over() -> Audited:
    return replace(OUTBOX[0], waiting_seconds=LONG_SECONDS + 1)


def broken(violations: dict[str, list[str]]) -> set[str]:
    return {name for name, lines in violations.items() if lines}


def test_a_run_in_which_all_went_well_breaks_nothing(history: History) -> None:
    """No invariant is broken by a healthy history, nor by a message that was sent twice."""
    assert broken(verdict(findings(), history)) == set()
    assert broken(verdict(findings(healthy(*MESSAGES, STEP, REJECTION)), history)) == set()


def test_what_is_still_under_way_is_not_accused(history: History) -> None:
    """A command that runs, with a young message in the outbox, breaks nothing that is decided already."""
    waiting = audited(STEP, 99, waiting=LONG_SECONDS / 2)
    running = healthy(*STATUSES[:2], commands={GOOD.identity: COMMAND}, executions={"e": "EXECUTANDO"}, refused=set())
    now = findings(running, replies=Journal(), outbox=(*OUTBOX, waiting), gone={0, 1})  # the first two statuses
    assert broken(decided_already(now, history)) == set()


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_invariant_is_found(history: History, name: str) -> None:
    """Each way to break a promise is reported under the name of its invariant."""
    invariant, make = BROKEN[name]
    assert invariant in broken(verdict(make(), history))


@pytest.mark.parametrize("name", sorted(BROKEN.keys() - FINISHED_ONLY))
def test_what_cannot_become_right_is_found_before_all_is_finished(history: History, name: str) -> None:
    """Damage that is done is reported also while the service still has work."""
    invariant, make = BROKEN[name]
    assert invariant in broken(decided_already(make(), history))


@pytest.mark.parametrize("invariant", INVARIANTS)
def test_findings_of_the_run_count(history: History, invariant: str) -> None:
    """What was seen while the run went on, as a skipped record or a leaked session, is in both verdicts."""
    history.finding(f"{invariant}: seen")
    assert verdict(findings(), history)[invariant] == ["seen"]
    assert decided_already(findings(), history)[invariant] == ["seen"]


def test_a_reply_that_the_broker_never_takes_may_be_parked(history: History) -> None:
    """On the topic with the small limit a gap is no violation, if the row is parked."""
    small = tuple(replace(message, topic=TOPICS.name(TINY_REPLY)) for message in REPLIES)
    rows = [audited(message, 50 + number, parked=number == 1) for number, message in enumerate(small)]
    journal = journal_of(*REPLIES, small[0], small[2])
    found = verdict(findings(replies=journal, outbox=(*OUTBOX, *rows)), history)
    assert broken(found) == set()
