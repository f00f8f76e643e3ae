from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.db import replays
from consumer.db.replays import SqlReplayStore
from consumer.db.told import last_words, retold
from consumer.errors import TransientError
from consumer.received import Identity
from consumer.replay.rerun import RunAgain
from consumer.replay.tally import Tally
from consumer.steps import Step
from schemas.enums import ErrorCode, StatusExecucao
from tests.builders import COMMAND_TOPICS, COMPOSER, at, cause, execution, message, record, reply_headers, uuid
from tests.unit.replay.stores import numbered

if TYPE_CHECKING:
    from consumer.outbound import OutboxMessage
    from tests.integration.core.store import Store

# Fields in an order that JSONB would not keep, numbers that lose by being parsed, characters of every kind.
DETAILS = {"zz": 1, "a": {"y": 0.1, "b": 1e-7}, "text": 'é"\\\u2028\x1f\U0001f600', "": [1.0, 10**25]}
HEADERS = {
    "ce_correlationid": "conv",
    "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
    "tracestate": "vendor=1",
    **reply_headers(),
}


def stored(store: Store) -> SqlReplayStore:
    return SqlReplayStore(store.database, COMPOSER, patience_seconds=0.1)


async def ended(store: Store, number: int = 1) -> str:
    """An execution that ran over several transactions, one of its steps twice, and ended well."""
    claim = await store.claimed(number, headers=HEADERS)
    queue = store.queue()
    async with queue.fenced(claim.lease) as work:
        work.execution.complete_step(Step.LOAD_DATA, at(1.234567), records=3, details=DETAILS)
        work.execution.skip_step(Step.EXECUTE_TFT, at(2), "é")
        work.execution.start_step(Step.EXECUTE_ETS, at(3), products_total=7)
    async with queue.fenced(claim.lease) as work:
        work.execution.count_products(Step.EXECUTE_ETS, 7)
        work.execution.report(Step.EXECUTE_ETS, at(4), eta_seconds=0.1)
        work.execution.complete_step(Step.LOAD_DATA, at(5), records=4)
    async with queue.fenced(claim.lease) as work:
        work.execution.complete_step(Step.EXECUTE_ETS, at(6.5))
        work.execution.finish(StatusExecucao.CONCLUIDO, at(7), resumo={"z": 1, "a": DETAILS})
    return uuid(number)


async def test_stored_events_are_byte_for_byte_what_was_sent(store: Store) -> None:
    """The last event of each step and the terminal status come back with the value, key and headers of their first."""
    execucao_id = await ended(store)
    first = {one.event_id: one for one in await store.messages()}
    again = await stored(store).stored_events([execucao_id])
    assert [one.event_id.split(":", 1)[1] for one in again] == ["step:2", "step:5", "step:6", "status:4"]
    assert again == [first[one.event_id] for one in again]


async def test_failed_and_cancelled_executions_have_their_end(store: Store) -> None:
    """An ERRO that failed a running step, and a cancellation in the queue, are stored like any other end."""
    claim = await store.claimed(1)
    async with store.queue().fenced(claim.lease) as work:
        work.execution.finish(StatusExecucao.ERRO, at(1), error=(ErrorCode.NO_DATA, "nothing \0 there"))
    await store.command(2)
    await store.cancel(2)
    first = {one.event_id: one for one in await store.messages()}
    again = await stored(store).stored_events([uuid(1), uuid(2)])
    assert [one.event_id for one in again] == [f"{uuid(1)}:step:1", f"{uuid(1)}:status:3", f"{uuid(2)}:status:2"]
    assert again == [first[one.event_id] for one in again]


async def test_what_has_not_ended_is_not_told(store: Store) -> None:
    """Nothing is sent again of an execution that is queued or running, and it counts as not ended."""
    await store.claimed(1)
    await store.command(2)
    assert await stored(store).stored_events([uuid(1), uuid(2), uuid(3)]) == []
    known = await stored(store).known([Identity("/tests", f"cmd-{number}") for number in (1, 2, 3)])
    assert {one.execucao_id: one.ended for one in known.values()} == {uuid(1): False, uuid(2): False}


async def test_sent_again_stands_behind_what_waits(store: Store) -> None:
    """Events that are told again are published after everything that was committed before."""
    execucao_id = await ended(store)
    before = await store.messages()
    again = await stored(store).stored_events([execucao_id])
    await stored(store).send_again(again)
    assert await store.messages() == [*before, *again]


async def test_full_outbox_is_not_filled_further(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nobody empties the outbox a replay adds nothing and asks for the relay; parked messages do not count."""
    monkeypatch.setattr(replays, "ROOM", 2)
    await store.command(1)
    await stored(store).send_again([message("a")])
    with pytest.raises(TransientError, match="is a relay running"):
        await stored(store).send_again([message("b")])
    await store.execute("UPDATE forecast_consumer.outbox SET parked_reason = 'x'")
    await stored(store).send_again([message("c")])


async def test_refused_positions_are_known(store: Store) -> None:
    """A record that became a dead letter is found by position and timestamp."""
    bad, other = record(value=b"?", offset=1), record(value=b"?", offset=2)
    await store.take(bad)
    assert await stored(store).refused([other, bad]) == {bad}
    assert await stored(store).refused([]) == frozenset()


async def test_rerun_is_a_new_execution_that_names_the_old_one(store: Store) -> None:
    """In row and event a rerun says what it repeats, its commands leave no deadline, and again it makes nothing."""
    log = [record(event_id="a", data={"execucao_id": uuid(1)}, headers={"ce_expirytime": "2020-01-01T00:00:00Z"})]
    await store.take(*log)
    for expected in (Tally(records=1, run=1), Tally(records=1, duplicates=1)):
        again = RunAgain(store.inbox, stored(store), COMMAND_TOPICS, numbered(50), "r1")
        assert await again.take(log) == expected
    row = await store.row(50)
    assert (row["replay_of"], row["source"], row["expires_at"]) == (uuid(1), "/forecast-consumer/replay/r1", None)
    assert (row["payload"]["execucao_id"], row["origin_topic"]) == (None, "forecast.predict")
    told = {event["execucao_id"]: event["replay_of"] for event in await store.events()}
    assert told == {uuid(1): None, uuid(50): uuid(1)}


async def test_rerun_keeps_telling_what_it_repeats(store: Store) -> None:
    """Every later status of a rerun has ``replay_of`` as well."""
    await store.command(1)
    await store.cancel(1)
    again = RunAgain(store.inbox, stored(store), COMMAND_TOPICS, numbered(50), "r1")
    await again.take([record(event_id="cmd-1", data={"execucao_id": uuid(1)})])
    await store.queue().claim(1)
    assert [event["replay_of"] for event in await store.events() if event["execucao_id"] == uuid(50)] == [uuid(1)] * 2


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(details=st.dictionaries(st.text(st.characters(codec="utf-8")), JSON, max_size=4))
def test_any_details_survive(details: dict[str, Any]) -> None:
    """Whatever a step tells, its message told again equals the first."""
    one = execution()
    one.begin(at(0))
    one.complete_step(Step.LOAD_DATA, at(1), details=details)
    one.finish(StatusExecucao.CONCLUIDO, at(2), resumo=details)
    why = cause("web.reply")
    first = [(event, COMPOSER.compose(event, why)[0]) for event in one.events]
    kept = json.loads(json.dumps(last_words((event, sent.value or b"") for event, sent in first)))
    assert retold(kept, why, COMPOSER) == order([sent for _, sent in first[1:]])


def order(sent: list[OutboxMessage]) -> list[OutboxMessage]:
    return sorted(sent, key=lambda one: "status" in one.event_id)
