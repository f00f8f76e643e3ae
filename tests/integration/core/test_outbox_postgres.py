from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import event, text

from consumer.db import outbox as outbox_module
from consumer.db.known import SESSION_KEY, KnownMessages
from consumer.db.outbox import SqlOutbox, insert_messages
from consumer.errors import PublishError, RecordRefusedError
from consumer.outbox import Relay, RelayOptions
from tests.builders import message
from tests.fakes import CapturedLog, FakePublisher, ManualClock

if TYPE_CHECKING:
    from consumer.outbound import OutboxMessage
    from tests.integration.core.store import Store

PARKED = """
    INSERT INTO forecast_consumer.outbox (event_id, topic, headers, parked_reason)
    SELECT number, 'replies', '[]', 'not there' FROM generate_series(1, :number) AS number"""


async def put(store: Store, *messages: OutboxMessage) -> None:
    async with store.database.transaction() as session:
        await insert_messages(session, messages)


def relay(outbox: SqlOutbox, publisher: FakePublisher, clock: ManualClock | None = None) -> Relay:
    options = RelayOptions(lease_seconds=5.0)
    return Relay(outbox, publisher, options, lambda _: None, lambda _: None, clock or ManualClock(), CapturedLog().log)


async def test_messages_come_back_as_they_went_in(store: Store) -> None:
    """Key, value, partition and headers survive the table: any bytes, nulls, names twice."""
    odd = message(
        "x", key=None, value=bytes(range(256)), headers=(("a", None), ("a", b"\xff\0"), ("ü", b"")), partition=7
    )
    empty = message("y", key=b"", value=None)
    await put(store, odd, empty)
    assert await store.messages() == [odd, empty]


async def test_relay_publishes_in_order_and_deletes(store: Store) -> None:
    """The relay publishes rows in the order in which they were written, and leaves none."""
    await put(store, *(message(f"e{number}") for number in range(5)))
    publisher = FakePublisher()
    assert await relay(store.outbox(), publisher).run_once() == 5
    assert publisher.sent == [f"e{number}" for number in range(5)]
    assert await store.messages() == []


async def test_row_that_commits_late_with_a_lower_id_is_published(store: Store) -> None:
    """A message whose transaction commits after younger ones went out is not skipped."""
    publisher = FakePublisher()
    made = relay(store.outbox(), publisher)
    async with store.database.transaction() as session:
        await insert_messages(session, [message("early id")])
        await put(store, message("late id"))
        await made.run_once()
    await made.run_once()
    assert publisher.sent == ["late id", "early id"]


async def test_unknown_outcome_keeps_the_row(store: Store) -> None:
    """What the broker did not acknowledge stays in the table for the next round."""
    await put(store, message("a"), message("b"))
    publisher = FakePublisher(b=PublishError("timed out"))
    made = relay(store.outbox(), publisher)
    result = await asyncio.gather(made.run_once(), return_exceptions=True)
    assert isinstance(result[0], PublishError)
    assert [one.event_id for one in await store.messages()] == ["b"]


async def test_parked_message_stays_with_its_reason(store: Store) -> None:
    """A refused message is kept with the reason, and the relay passes over it."""
    await put(store, message("big"), message("b"))
    publisher = FakePublisher(big=RecordRefusedError("too large"))
    made = relay(store.outbox(), publisher)
    await made.run_once()
    await put(store, message("c"))
    await made.run_once()
    assert publisher.sent == ["b", "c"]
    found = await store.rows("SELECT event_id, parked_reason FROM forecast_consumer.outbox")
    assert found == [("big", "too large")]


async def test_messages_are_parked_in_one_statement(store: Store) -> None:
    """Each gets its own reason, rows that are gone are nobody's trouble, and the others wait as before."""
    await put(store, *(message(name) for name in ("big", "lost", "gone", "good")))
    outbox = store.outbox()
    big, lost, gone, _ = [row for row, _ in await outbox.pending(4)]
    await outbox.delete([gone])
    with store.statements() as executed:
        await outbox.park({big: "too large", lost: "not there", gone: "not there"})
    assert len(executed) == 1
    found = await store.rows("SELECT event_id, parked_reason FROM forecast_consumer.outbox ORDER BY id")
    assert found == [("big", "too large"), ("lost", "not there"), ("good", None)]


async def test_parked_message_that_is_let_wait_again_goes_out(store: Store) -> None:
    """An operator who takes the reason away has the message sent by the next look."""
    await put(store, message("big"))
    publisher = FakePublisher(big=RecordRefusedError("too large"))
    made = relay(store.outbox(), publisher)
    await made.run_once()
    publisher.answers.clear()
    await store.execute("UPDATE forecast_consumer.outbox SET parked_reason = NULL")
    assert await made.run_once() == 1
    assert publisher.sent == ["big"]


@pytest.mark.parametrize("analysed", [True, False])
async def test_look_costs_the_same_however_many_are_parked(store: Store, *, analysed: bool) -> None:
    """Behind twenty thousand parked rows the oldest are found without reading them, whatever statistics know."""
    await store.execute(PARKED, number=20_000)
    await put(store, message("a"), message("b"))
    if analysed:
        await store.execute("ANALYZE forecast_consumer.outbox")
    async with store.database.single() as connection:
        look = text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {outbox_module._OLDEST}")
        [plan] = await connection.scalar(look, {"limit": 1000, "leave_out": []})
    assert plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] < 20
    assert [one.event_id for one in await store.messages()] == ["a", "b"]


async def test_one_relay_at_a_time_and_takeover_after_its_lease(store: Store) -> None:
    """A second relay waits while the first is alive, and takes over when the lease has run out."""
    first, second = store.outbox("r1"), store.outbox("r2")
    assert await first.hold(30.0)
    assert not await second.hold(30.0)
    assert await first.hold(30.0)
    await store.execute("UPDATE forecast_consumer.role_lease SET expires_at = now() - interval '1 s'")
    assert await second.hold(30.0)
    assert not await first.hold(30.0)
    lease = "SELECT split_part(owner, '/', 1), epoch FROM forecast_consumer.role_lease"
    assert await store.rows(lease) == [("r2", 2)]


async def test_relays_of_one_name_do_not_both_hold(store: Store) -> None:
    """Processes that were given the same name are two for the lease: one holds it, and only that one gives it up."""
    first, second = store.outbox("same"), store.outbox("same")
    assert await first.hold(30.0)
    assert not await second.hold(30.0)
    await second.let_go()
    assert not await second.hold(30.0)
    assert await first.hold(30.0)
    await first.let_go()
    assert await second.hold(30.0)


async def test_relay_that_leaves_lets_the_next_one_in_at_once(store: Store) -> None:
    """A lease that was given up is free; giving up somebody else's does nothing."""
    first, second = store.outbox("r1"), store.outbox("r2")
    await first.hold(30.0)
    await second.let_go()
    assert not await second.hold(30.0)
    await first.let_go()
    assert await second.hold(30.0)


async def test_leaving_never_fails_and_never_waits_long(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the database gone or silent the end of the relay is quiet: its lease runs out by itself."""
    monkeypatch.setattr("consumer.db.outbox.LET_GO_SECONDS", 0.05)
    outbox = store.outbox()
    await outbox.hold(30.0)
    async with store.database.transaction() as session, asyncio.timeout(5):
        await session.execute(text("LOCK TABLE forecast_consumer.role_lease"))
        await outbox.let_go()
    await store.database.dispose()
    event.listen(store.database.engine.sync_engine, "do_connect", _refuse_connection)
    await outbox.let_go()


def _refuse_connection(*_: object) -> None:
    raise ConnectionRefusedError(111, "refused")


async def test_two_relays_publish_each_message_once(store: Store) -> None:
    """Of two candidates that run side by side one publishes, in order."""
    await put(store, *(message(f"e{number}") for number in range(20)))
    publisher = FakePublisher()
    relays = [relay(store.outbox(name), publisher) for name in ("r1", "r2")]
    for _ in range(3):
        await asyncio.gather(*(one.run_once() for one in relays))
    assert publisher.sent == [f"e{number}" for number in range(20)]


@pytest.fixture
def known(store: Store) -> KnownMessages:
    """What the store's transactions leave for a relay of the same process."""
    made = KnownMessages()
    store.database.share(SESSION_KEY, made)
    return made


async def test_own_messages_are_not_read_back(store: Store, known: KnownMessages) -> None:
    """A relay sends what its own process has committed from memory, each message once, amid the rows of others."""
    outbox = SqlOutbox(store.database, owner="r1", known=known)
    await outbox.hold(30.0)
    await put(store, message("a", value=b"mine"))
    known.wanted = False
    await put(store, message("b", value=b"other"))
    known.wanted = True
    await put(store, message("c", value=b"mine"))
    await store.execute("UPDATE forecast_consumer.outbox SET value = 'table'")
    assert [one.value for _, one in await outbox.pending(10)] == [b"mine", b"table", b"mine"]
    assert len(known) == 0
    assert [one.value for _, one in await outbox.pending(10)] == [b"table"] * 3


async def test_message_is_known_only_once_it_is_committed(store: Store, known: KnownMessages) -> None:
    """Before the commit, and after a rollback, there is nothing to send."""
    outbox = SqlOutbox(store.database, owner="r1", known=known)
    await outbox.hold(30.0)

    async def fail() -> None:
        async with store.database.transaction() as session:
            await insert_messages(session, [message("never")])
            assert len(known) == 0
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert (len(known), await outbox.pending(10)) == (0, [])


async def test_nothing_is_kept_without_the_lease(store: Store, known: KnownMessages) -> None:
    """A candidate that does not publish keeps nothing, and one that lost its lease forgets what it kept."""
    outbox, other = SqlOutbox(store.database, owner="r1", known=known), store.outbox("r2")
    await put(store, message("a"))
    assert len(known) == 0
    await outbox.hold(30.0)
    await put(store, message("b"))
    assert len(known) == 1
    await store.execute("UPDATE forecast_consumer.role_lease SET expires_at = now() - interval '1 s'")
    await other.hold(30.0)
    assert not await outbox.hold(30.0)
    await put(store, message("c"))
    assert len(known) == 0


@pytest.mark.parametrize(("megabytes", "read"), [((7, 7, 7), 2), ((20, 1), 1), ((1, 20), 1)])
async def test_a_round_is_bounded_in_bytes(store: Store, megabytes: tuple[int, ...], read: int) -> None:
    """A thousand dead letters of a megabyte are not read at once, and one that is larger than a round is read alone."""
    await put(store, *(message(f"e{n}", value=bytes(size * 1024 * 1024)) for n, size in enumerate(megabytes)))
    found = await store.outbox().pending(1000)
    assert [one.event_id for _, one in found] == [f"e{number}" for number in range(read)]


async def test_rows_in_flight_are_left_out_whatever_their_ids(store: Store) -> None:
    """The oldest rows beside those that are left out are read, also ones with lower ids than these."""
    await put(store, *(message(f"e{number}") for number in range(5)))
    outbox = store.outbox()
    ids = [row for row, _ in await outbox.pending(5)]
    found = await outbox.pending(2, frozenset((ids[1], ids[3])))
    assert [one.event_id for _, one in found] == ["e0", "e2"]
