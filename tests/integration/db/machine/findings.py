"""The invariants of the delivery guarantees, decided on the tables and the broker's log of one example."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from schemas.enums import EventType
from schemas.events import ExecutionStatusChanged, StepLogged, parse_status, parse_step_log
from tests.integration.db.machine.work import HORIZON
from tests.unit.core.execution_checks import check_sequences, check_statuses, check_steps

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from consumer.outbound import OutboxMessage
    from schemas.records import RawRecord
    from tests.integration.db.machine.model import Model, Standing
    from tests.integration.db.machine.world import World


async def check_tables(model: Model, world: World, records: Sequence[RawRecord]) -> None:
    """I1 to I5 and I8 as far as they can be seen at any moment."""
    commands = {key: item.execucao_id for key, item in model.inbox.state.commands.items()}
    assert await world.commands() == commands
    assert await world.both_ways() == []
    assert await world.statuses() == model.statuses()
    assert await world.standings() == {name: _standing(known) for name, known in model.standing.items()}
    assert await world.results() == _results(model, await world.results())
    waiting = await world.store.messages()
    log = world.broker.log
    first = _first_occurrences([*log, *waiting])
    assert Counter(_key(one) for one in first) == Counter(_key(one) for one in model.messages)
    assert {_key(one) for one in log} <= {_key(one) for one in model.messages}
    for events in (*_statuses(first).values(), *_steps(first).values()):
        check_sequences(events)
    _check_letters(model, first, records)


def check_history(model: Model, log: Sequence[OutboxMessage]) -> None:
    """I1, I2 and I5 once everything has ended and was published."""
    first = _first_occurrences(log)
    statuses, steps = _statuses(first), _steps(first)
    for name, known in model.standing.items():
        check_statuses(statuses[name], ended=True)
        check_steps(steps[name], known.stored.execution)
    for name, status in model.statuses().items():
        ends = [event for event in statuses[name] if event.terminal]
        assert [str(event.status) for event in ends] == ([] if status == "PENDENTE" else [status]), name


def _check_letters(model: Model, messages: Sequence[OutboxMessage], records: Sequence[RawRecord]) -> None:
    """Exactly one dead letter for each position that was refused, none for another."""
    letters = Counter(one.event_id for one in messages if one.topic == "forecast.dlq")
    assert set(letters.values()) <= {1}
    refused = {
        f"{topic}/{partition}/{offset}/{time}:rejected:dlq" for topic, partition, offset, time in _refused(model)
    }
    assert refused <= letters.keys()
    known = {(raw.topic, raw.partition, raw.offset, raw.timestamp_ms) for raw in records}
    assert _refused(model) <= known


def _refused(model: Model) -> set[tuple[str, int, int, int]]:
    return model.inbox.state.refused


def _standing(known: Standing) -> tuple[object, ...]:
    made = known.stored.execution
    state = "done" if made.terminal else "running" if known.running else "queued"
    counters = (made.status_sequence, made.step_sequence, made.products_processed)
    return (state, known.stored.epoch, made.attempt, *counters)


def _results(model: Model, found: Counter[tuple[str, str]]) -> Counter[tuple[str, str]]:
    """Those of executions that are forgotten stay as they are."""
    kept = {key: rows for key, rows in found.items() if key[0] not in model.standing}
    wanted = {
        (name, product): HORIZON * 2 for name, known in model.standing.items() for product in known.stored.results
    }
    return Counter({**kept, **wanted})


def _key(message: OutboxMessage) -> tuple[object, ...]:
    return message.event_id, message.topic, message.key, message.value, message.headers


def _first_occurrences(messages: Sequence[OutboxMessage]) -> list[OutboxMessage]:
    """What a reader who drops duplicates sees; a duplicate is the same to the byte."""
    seen: dict[tuple[str, str], OutboxMessage] = {}
    for message in messages:
        assert seen.setdefault((message.topic, message.event_id), message) == message
    return list(seen.values())


def _of_type(messages: Sequence[OutboxMessage], kind: EventType) -> Iterator[bytes]:
    for message in messages:
        if dict(message.headers).get("ce_type") == kind.value.encode():
            yield message.value or b""


def _statuses(messages: Sequence[OutboxMessage]) -> defaultdict[str, list[ExecutionStatusChanged]]:
    found: defaultdict[str, list[ExecutionStatusChanged]] = defaultdict(list)
    for value in _of_type(messages, EventType.STATUS):
        event = parse_status(value)
        found[event.execucao_id].append(event)
    return found


def _steps(messages: Sequence[OutboxMessage]) -> defaultdict[str, list[StepLogged]]:
    found: defaultdict[str, list[StepLogged]] = defaultdict(list)
    for value in _of_type(messages, EventType.STEP_LOG):
        event = parse_step_log(value)
        found[event.execucao_id].append(event)
    return found
