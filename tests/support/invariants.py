"""The promises I1, I2, I4, I5, I6 and I8 of the delivery guarantees, decided on the evidence of a run.

Each check gives the violations it found, one line each; an empty list means that the promise was kept.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from schemas.enums import EventType
from schemas.replies import event_id
from tests.support.evidence import Position

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.evidence import Evidence
    from tests.support.journal import Message

TERMINAL = frozenset({"CONCLUIDO", "PARCIAL", "ERRO"})


def violations(evidence: Evidence) -> list[str]:
    """All checks, each line with the name of the invariant."""
    checks = {
        "I1": (each_command_one_execution, each_bad_record_one_dead_letter),
        "I2": (one_terminal_state,),
        "I4": (committed_is_published, duplicates_are_identical),
        "I5": (sequences_without_gaps,),
        "I6": (offsets_pass_nothing_unread,),
        "I8": (results_once,),
    }
    return [f"{name}: {line}" for name, group in checks.items() for check in group for line in check(evidence)]


def each_command_one_execution(evidence: Evidence) -> list[str]:
    """I1: a good command, however often it was delivered, has one row, one execution and one end."""
    found = []
    for sent in evidence.sent:
        if not sent.good or sent.kind == "cancel":
            continue
        row = evidence.commands.get(sent.identity)
        if row is None:
            found.append(f"command {sent.identity} at {sent.position} has no row")
        elif evidence.executions.get(row["execucao_id"]) not in TERMINAL:
            found.append(f"execution {row['execucao_id']} is {evidence.executions.get(row['execucao_id'])}")
        elif row["execucao_id"] not in evidence.journal.ended:
            found.append(f"execution {row['execucao_id']} has no terminal event")
    wanted = {sent.identity for sent in evidence.sent if sent.good}
    found += [f"command {identity} was never sent" for identity in evidence.commands.keys() - wanted]
    starters = Counter(row["execucao_id"] for row in evidence.commands.values() if row["comando"] != "cancel")
    return found + [f"execution {name} has {count} commands" for name, count in starters.items() if count > 1]


def each_bad_record_one_dead_letter(evidence: Evidence) -> list[str]:
    """I1: a bad record has exactly one dead letter and one rejection, a good one has none."""
    letters: defaultdict[Position, set[tuple[object, ...]]] = defaultdict(set)
    for message in evidence.journal.on(evidence.topics.dlq):
        letters[_origin(message)].add(message.content)
    bad = {sent.position for sent in evidence.sent if not sent.good}
    rejected = _rejected(evidence)
    found = [f"{position} has {len(letters[position])} dead letters" for position in bad if len(letters[position]) != 1]
    found += [f"{position} has no rejection" for position in bad if position.rejection_id not in rejected]
    return found + [f"{position} is a dead letter of a good record" for position in letters.keys() - bad]


def one_terminal_state(evidence: Evidence) -> list[str]:
    """I2: one terminal event id an execution, nothing after it, and the table says the same."""
    found = []
    ends: defaultdict[str, list[Message]] = defaultdict(list)
    for message in _statuses(evidence):
        name = message.data["execucao_id"]
        if ends[name]:
            found.append(f"{message.event_id} follows the end {ends[name][0].event_id}")
        if message.data["terminal"]:
            ends[name].append(message)
            if evidence.executions.get(name) != message.data["status"]:
                found.append(f"{name} is {evidence.executions.get(name)}, its event says {message.data['status']}")
    return found


def committed_is_published(evidence: Evidence) -> list[str]:
    """I4: what the tables say was committed is what stands on the topics or waits in the outbox."""
    found = []
    for topic, committed in _committed(evidence).items():
        published = {message.event_id for message in evidence.journal.on(topic)}
        found += [f"{name} is missing on {topic}" for name in sorted(committed - published - evidence.unsent)]
        found += [f"{name} on {topic} was never committed" for name in sorted(published - committed)]
    letters = {_origin(message) for message in evidence.journal.on(evidence.topics.dlq)}
    unsent = {position for position in evidence.refused if f"{position.rejection_id}:dlq" in evidence.unsent}
    found += [f"no dead letter of {position}" for position in evidence.refused - letters - unsent]
    return found + [f"dead letter of {position} was never committed" for position in letters - evidence.refused]


def duplicates_are_identical(evidence: Evidence) -> list[str]:
    """I4: a message that was sent twice is the same to the byte."""
    seen: dict[tuple[str, str], Message] = {}
    found = []
    for message in evidence.journal.messages:
        if message.topic == evidence.topics.dlq:
            continue
        first = seen.setdefault((message.topic, message.event_id), message)
        if first.content != message.content:
            found.append(f"{message.event_id} on {message.topic} differs at {first.offset} and {message.offset}")
    return found


def sequences_without_gaps(evidence: Evidence) -> list[str]:
    """I5: first occurrences of an execution's events on a topic count 1..n in order."""
    found = []
    for topic in {message.topic for message in evidence.journal.messages} - {evidence.topics.dlq}:
        last: Counter[str] = Counter()
        for message in evidence.journal.first_occurrences(topic):
            if message.attributes.get("ce_type") == EventType.COMMAND_REJECTED or message.value is None:
                continue
            name = message.data["execucao_id"]
            if message.data["sequence"] != last[name] + 1:
                found.append(f"{message.event_id} on {topic} follows sequence {last[name]}")
            last[name] = message.data["sequence"]
    return found


def offsets_pass_nothing_unread(evidence: Evidence) -> list[str]:
    """I6: before a committed offset every record has a command row or is a refused one."""
    return [
        f"offset {evidence.committed[sent.topic, sent.partition]} passes {sent.position}, which left nothing"
        for sent in evidence.sent
        if sent.offset < evidence.committed.get((sent.topic, sent.partition), 0)
        and sent.identity not in evidence.commands
        and sent.position not in evidence.refused
    ]


def results_once(evidence: Evidence) -> list[str]:
    """I8: one row an execution, product, week and target."""
    return list(evidence.doubled)


def _committed(evidence: Evidence) -> dict[str, set[str]]:
    """Event ids by topic, from the counters that were committed together with the events."""
    topics = evidence.topics
    committed: defaultdict[str, set[str]] = defaultdict(set)
    committed[topics.status] |= {position.rejection_id for position in evidence.refused}
    attached = set()
    for row in evidence.commands.values():
        if row["comando"] == "cancel":
            continue
        name = row["execucao_id"]
        attached.add(name)
        statuses = {event_id(name, "status", number + 1) for number in range(row["status_sequence"])}
        committed[topics.status] |= statuses
        committed[topics.step_log] |= {event_id(name, "step", number + 1) for number in range(row["step_sequence"])}
        if row["reply_topic"] in {message.topic for message in evidence.journal.messages}:
            committed[row["reply_topic"]] |= statuses
    # Ended without a command: a bad or cancelling record named an execution that nobody had started.
    ended = {name for name, status in evidence.executions.items() if status == "ERRO" and name not in attached}
    committed[topics.status] |= {event_id(name, "status", 1) for name in ended}
    return committed


def _statuses(evidence: Evidence) -> Iterator[Message]:
    for message in evidence.journal.first_occurrences(evidence.topics.status):
        if message.attributes.get("ce_type") == EventType.STATUS:
            yield message


def _rejected(evidence: Evidence) -> set[str]:
    return set(evidence.journal.rejected)


def _origin(letter: Message) -> Position:
    told = letter.attributes
    numbers = (int(told[f"dlq-{name}"]) for name in ("partition", "offset", "timestamp"))
    return Position(told["dlq-topic"], *numbers)
