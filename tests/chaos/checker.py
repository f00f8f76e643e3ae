"""The verdict: for each invariant the list of its violations."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Final

from tests.chaos.evidence import expected_to_be_parked
from tests.support import invariants as shared

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.chaos.evidence import Findings
    from tests.chaos.history import History
    from tests.support.evidence import Evidence
    from tests.support.journal import Message

LONG_SECONDS: Final = 15.0  # without a fault; a relay is replaced after two
INVARIANTS: Final = {
    "I1": "every acknowledged command is one execution with one end, every bad record one dead letter",
    "I2": "an end never changes, and is told by one event",
    "I3": "no write with an epoch older than the current one",
    "I4": "what was committed is what was published",
    "I5": "sequences count 1..n in order",
    "I6": "no committed offset passes a record that left nothing",
    "I7": "everything drains, nothing is left open",
    "I8": "each forecast once",
}


def verdict(findings: Findings, history: History) -> dict[str, list[str]]:
    """All eight; those that were decided while the run went on are among the history's findings."""
    evidence = findings.evidence
    found = {
        "I1": [
            *commands_were_sent(evidence),
            *acknowledged_are_there(findings, history),
            *shared.each_command_one_execution(evidence),
            *shared.each_bad_record_one_dead_letter(evidence),
        ],
        "I2": [*shared.one_terminal_state(evidence), *ends_never_change(findings)],
        "I3": [*epochs_are_current(findings), *attempts_never_fall(findings)],
        "I4": [
            *left_behind(findings),
            *shared.committed_is_published(evidence),
            *shared.duplicates_are_identical(evidence),
            *outbox_is_on_the_topics(findings),
        ],
        "I5": [*shared.sequences_without_gaps(evidence), *replies_in_order(findings)],
        "I6": shared.offsets_pass_nothing_unread(evidence),
        "I7": [],
        "I8": [*shared.results_once(evidence), *forecasts_are_complete(findings)],
    }
    return _with_findings(found, history)


def decided_already(findings: Findings, history: History) -> dict[str, list[str]]:
    """What cannot become right any more, however much is under way still: for a service that has not drained."""
    evidence = findings.evidence
    found = {
        "I1": commands_were_sent(evidence),
        "I2": [*shared.one_terminal_state(evidence), *ends_never_change(findings)],
        "I3": [*epochs_are_current(findings), *attempts_never_fall(findings)],
        "I4": [
            *left_behind(findings),
            *deleted_is_on_the_topics(findings),
            *shared.duplicates_are_identical(evidence),
            *_invented(findings),
        ],
        "I5": shared.sequences_without_gaps(evidence),
        "I6": [],
        "I7": [],
        "I8": shared.results_once(evidence),
    }
    return _with_findings(found, history)


def _with_findings(found: dict[str, list[str]], history: History) -> dict[str, list[str]]:
    for line in history.findings:
        name, _, text = line.partition(": ")
        found[name] = [*found[name], text]
    return found


def commands_were_sent(evidence: Evidence) -> list[str]:
    """I1: no command is there that nobody sent, and no execution has two."""
    sent = {item.identity for item in evidence.sent}
    found = [f"command {identity} was never sent" for identity in evidence.commands if identity not in sent]
    starters = Counter(row["execucao_id"] for row in evidence.commands.values() if row["comando"] != "cancel")
    return found + [f"execution {name} has {count} commands" for name, count in starters.items() if count > 1]


def acknowledged_are_there(findings: Findings, history: History) -> list[str]:
    """I1: what the broker acknowledged to the driver stands on the topic; else nothing below means anything."""
    there = {(raw.topic, raw.partition, raw.offset) for raw in findings.records}
    lost = [attempt for attempt in history.attempts.values() if attempt.place and attempt.place not in there]
    return [f"record {attempt.number} was acknowledged at {attempt.place} and is not there" for attempt in lost]


def ends_never_change(findings: Findings) -> list[str]:
    """I2: no committed change led away from a terminal status."""
    return [
        f"execution {name} went from {before} to {after}"
        for name, before, after in findings.statuses
        if before in shared.TERMINAL or after == "DELETED"
    ]


def epochs_are_current(findings: Findings) -> list[str]:
    """I3: the audit's triggers saw the true epoch beside the one that the writer claimed."""
    return [
        f"{count} committed writes to {place} claimed epoch {claimed} when {held} was held"
        for (place, claimed, held), count in findings.fenced.items()
        if claimed != held
    ]


def attempts_never_fall(findings: Findings) -> list[str]:
    """I3, seen from outside: a later event never comes from an earlier attempt."""
    found = []
    newest: dict[str, int] = defaultdict(int)
    for message in _statuses(findings):
        name, attempt = message.data["execucao_id"], message.data["attempt"]
        if (message.data.get("error") or {}).get("code") == "cancelled":
            continue  # in the queue, where an attempt that was handed back no longer counts
        if attempt < newest[name]:
            found.append(f"{message.event_id} is of attempt {attempt}, one of {newest[name]} was before it")
        newest[name] = max(newest[name], attempt)
    return found


def left_behind(findings: Findings) -> list[str]:
    """I4: the relay passes no message by; one that waits for long while younger ones were published was."""
    newest = max((row.number for row in findings.outbox if row.waiting_seconds is None), default=0)
    return [
        f"{row.event_id} (row {row.number}) waits since {row.waiting_seconds:.0f} s, row {newest} was published"
        for row in findings.outbox
        if row.waiting_seconds is not None and row.waiting_seconds > LONG_SECONDS and row.number < newest
    ]


def deleted_is_on_the_topics(findings: Findings) -> list[str]:
    """I4: a row goes when the broker has its message, and no sooner."""
    published = _published(findings)
    return [
        f"{row.event_id} (row {row.number}) was deleted and is not on {row.content[0]}"
        for row in findings.outbox
        if row.number in findings.gone and row.content not in published
    ]


def outbox_is_on_the_topics(findings: Findings) -> list[str]:
    """I4: by content, to the byte, duplicates aside."""
    topics = findings.evidence.topics
    published = _published(findings)
    found = [
        f"{row.event_id} was parked and fits on {row.content[0]}"
        for row in findings.outbox
        if row.parked and not expected_to_be_parked(topics, row.content[0])
    ]
    found += [
        f"{row.event_id} (row {row.number}) was committed and is not on {row.content[0]}"
        for row in findings.outbox
        if row.content not in published and not row.parked
    ]
    return found + _invented(findings)


def _invented(findings: Findings) -> list[str]:
    invented = _published(findings) - {row.content for row in findings.outbox}
    return [f"a message on {content[0]} with key {content[1]!r} was never committed" for content in invented]


def _published(findings: Findings) -> set[tuple[object, ...]]:
    journals = (findings.evidence.journal, findings.replies)
    return {_content(message) for journal in journals for message in journal.messages}


def replies_in_order(findings: Findings) -> list[str]:
    """I5 on reply topics: 1..n, but for what the broker will never take."""
    topics = findings.evidence.topics
    parked = {(row.content[0], row.event_id.removesuffix(":reply")) for row in findings.outbox if row.parked}
    found = []
    for topic in {message.topic for message in findings.replies.messages}:
        last: dict[str, int] = defaultdict(int)
        for message in findings.replies.first_occurrences(topic):
            if message.value is None:
                continue
            name, number = message.data["execucao_id"], message.data["sequence"]
            skipped = range(last[name] + 1, number)
            unparked = [gap for gap in skipped if (topic, f"{name}:status:{gap}") not in parked]
            if number <= last[name] or unparked:
                found.append(f"{message.event_id} on {topic} follows {last[name]}")
            last[name] = number
    return found if topics else []


def forecasts_are_complete(findings: Findings) -> list[str]:
    """I8: as many rows as the summary says, and as products, weeks and targets make."""
    found = []
    for row in findings.forecasts:
        wanted = (2 * row["products"] - row["without_price"]) * row["weeks"]
        if not row["told"] == row["found"] == wanted:
            found.append(f"execution {row['id']}: {row['found']} rows, told {row['told']}, wanted {wanted}")
    return found


def _statuses(findings: Findings) -> Iterable[Message]:
    return shared._statuses(findings.evidence)


def _content(message: Message) -> tuple[object, ...]:
    return message.topic, message.key, message.value, message.headers
