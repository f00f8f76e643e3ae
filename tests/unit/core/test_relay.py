from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consumer.db.outbox import decode_headers, encode_headers
from consumer.errors import PublishError, RecordRefusedError, TransientError
from consumer.outbox import Relay, RelayOptions
from tests.builders import message
from tests.fakes import CapturedLog, FakeOutbox, FakePublisher, ManualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

FAST = RelayOptions(poll_seconds=60.0, error_pause_seconds=0.0)


def relay(
    outbox: FakeOutbox,
    publisher: FakePublisher,
    *,
    options: RelayOptions = FAST,
    published: Callable[[int], None] = lambda _: None,
    parked: Callable[[int], None] = lambda _: None,
    clock: ManualClock | None = None,
    log: CapturedLog | None = None,
) -> Relay:
    log = log or CapturedLog()
    return Relay(outbox, publisher, options, published, parked, clock or ManualClock(), log.log)


def events(*names: str) -> FakeOutbox:
    return FakeOutbox(*(message(name) for name in names))


async def test_round_publishes_in_order_and_deletes() -> None:
    """A round publishes the oldest messages in order and deletes what was acknowledged."""
    outbox, publisher = events("a", "b", "c"), FakePublisher()
    counted: list[int] = []
    assert await relay(outbox, publisher, published=counted.append).run_once() == 3
    assert (publisher.sent, outbox.rows, counted) == (["a", "b", "c"], {}, [3])


async def test_only_what_was_acknowledged_is_deleted() -> None:
    """A message whose outcome is unknown stays, and so does all behind it: it is sent again in its order."""
    outbox, publisher = events("a", "b", "c"), FakePublisher(b=PublishError("timed out"))
    made = relay(outbox, publisher)
    with pytest.raises(PublishError, match="timed out"):
        await made.run_once()
    assert [one.event_id for one in outbox.rows.values()] == ["b", "c"]
    publisher.answers.clear()
    assert await made.run_once() == 2
    assert (publisher.sent, outbox.rows, len(publisher.lines)) == (["a", "b", "c"], {}, 2)


async def test_broker_away_keeps_every_row() -> None:
    """Without a broker nothing is deleted and nothing is parked."""
    outbox, publisher = events("a", "b"), FakePublisher()
    publisher.down = True
    with pytest.raises(PublishError):
        await relay(outbox, publisher).run_once()
    assert (len(outbox.rows), outbox.parked) == (2, {})


async def test_refused_message_is_parked_and_holds_up_nobody() -> None:
    """A message that the broker will never take is set aside with the reason and said; the others go out."""
    outbox, publisher, log = events("a", "big", "c"), FakePublisher(big=RecordRefusedError("too large")), CapturedLog()
    made = relay(outbox, publisher, log=log)
    assert await made.run_once() == 3
    assert (publisher.sent, outbox.parked) == (["a", "c"], {2: "too large"})
    assert [(one["event"], one["event_id"], one["log_level"]) for one in log.entries] == [
        ("message_parked", "big", "error")
    ]
    assert await made.run_once() == 0


async def test_refused_messages_of_a_round_are_parked_at_once() -> None:
    """However many messages are refused, they are set aside in one statement, each with its own reason, and counted."""
    outbox, counted = events("a", "big", "lost"), list[int]()
    publisher = FakePublisher(big=RecordRefusedError("too large"), lost=RecordRefusedError("not there"))
    assert await relay(outbox, publisher, parked=counted.append).run_once() == 3
    assert counted == [2]
    assert outbox.parkings == [{2: "too large", 3: "not there"}]


async def test_standby_relay_publishes_nothing() -> None:
    """While another relay is alive this one reads and sends nothing; when it may, it takes over."""
    outbox, publisher, clock = events("a"), FakePublisher(), ManualClock()
    outbox.held = False
    made = relay(outbox, publisher, clock=clock)
    assert await made.run_once() == 0
    assert not outbox.looked.is_set()
    outbox.held = True
    clock.seconds = FAST.idle_seconds
    assert await made.run_once() == 1


async def test_standby_relay_asks_for_the_lease_now_and_then() -> None:
    """Whatever is committed in its process wakes it, and the lease of another one is not asked for each time."""
    outbox, clock = FakeOutbox(), ManualClock()
    outbox.held = False
    made = relay(outbox, FakePublisher(), options=RelayOptions(idle_seconds=0.25), clock=clock)
    for seconds in (0.0, 0.1, 0.2, 0.25, 0.3, 0.5):
        clock.seconds = seconds
        await made.run_once()
    assert outbox.holds == 3


async def test_lease_is_prolonged_when_half_of_it_is_gone() -> None:
    """The lease costs a statement every half of its time, not every round."""
    outbox, clock = FakeOutbox(), ManualClock()
    made = relay(outbox, FakePublisher(), options=RelayOptions(lease_seconds=4.0), clock=clock)
    for seconds in (0.0, 1.0, 1.9, 2.0, 3.0):
        clock.seconds = seconds
        await made.run_once()
    assert outbox.holds == 2


async def test_batch_is_bounded() -> None:
    """A round takes at most its batch."""
    outbox, publisher = events("a", "b", "c"), FakePublisher()
    assert await relay(outbox, publisher, options=RelayOptions(batch=2)).run_once() == 2
    assert publisher.sent == ["a", "b"]


async def test_waking_ends_the_pause() -> None:
    """A relay that found nothing looks again as soon as it is woken, not after its poll time."""
    outbox, publisher = FakeOutbox(), FakePublisher()
    made = relay(outbox, publisher)
    task = asyncio.create_task(made.run(asyncio.Event()))
    await outbox.looked.wait()
    outbox.add(message("late"))
    made.wake()
    async with asyncio.timeout(5):
        await publisher.published.wait()
    task.cancel()
    assert publisher.sent == ["late"]


async def test_idle_relay_looks_less_often() -> None:
    """For a while after a message the outbox of other processes is looked at often, then at a fifth of the price."""
    outbox, clock = events("a"), ManualClock()
    options = RelayOptions(poll_seconds=0.0, idle_seconds=0.03, busy_seconds=2.0)
    made = relay(outbox, FakePublisher(), options=options, clock=clock)
    assert made._poll_seconds() == 0.03
    assert await made._look_or_pause() == 1
    clock.seconds = 1.9
    assert made._poll_seconds() == 0.0
    clock.seconds = 2.0
    begun = asyncio.get_running_loop().time()
    assert await made._look_or_pause() == 0
    assert asyncio.get_running_loop().time() - begun >= 0.025


async def test_stopping_relay_empties_the_outbox_first() -> None:
    """A relay that is told to stop publishes what is there, batch by batch, and ends."""
    outbox, publisher, stopping = events(*"abcde"), FakePublisher(), asyncio.Event()
    stopping.set()
    async with asyncio.timeout(5):
        await relay(outbox, publisher, options=RelayOptions(batch=2, poll_seconds=0.0)).run(stopping)
    assert (publisher.sent, outbox.rows) == (list("abcde"), {})


async def test_stopping_relay_does_not_wait_for_a_broker_that_is_away() -> None:
    """Flushing gives up at the first round that fails; the rows wait for the next start."""
    outbox, publisher, stopping, log = events("a"), FakePublisher(), asyncio.Event(), CapturedLog()
    publisher.down = True
    stopping.set()
    async with asyncio.timeout(5):
        await relay(outbox, publisher, log=log).run(stopping)
    assert (len(outbox.rows), log.names) == (1, ["relay_round_failed"])


async def test_database_away_is_survived_and_the_round_does_not_count() -> None:
    """A failed round is logged and tried again; the time of the last finished round stands still."""
    outbox, clock, log = FakeOutbox(), ManualClock(), CapturedLog()
    made = relay(outbox, FakePublisher(), clock=clock, log=log)

    async def away(_: float) -> bool:
        raise TransientError("gone")

    outbox.hold = away  # type: ignore[method-assign, assignment]  # one failing method in one test
    clock.seconds = 30.0
    await made._look_or_pause()
    assert (made.last_round, log.names) == (0.0, ["relay_round_failed"])


@asynccontextmanager
async def running(made: Relay) -> AsyncIterator[None]:
    """The relay at work for the time of the block."""
    task = asyncio.create_task(made.run(asyncio.Event()))
    try:
        async with asyncio.timeout(5):
            yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - every turn of the loop may make it true; the caller bounds it
        await asyncio.sleep(0)


async def test_next_round_does_not_wait_for_the_acknowledgement_of_the_one_before() -> None:
    """While a round is in flight the next is read and sent; no row is read twice, and none is deleted too soon."""
    outbox, publisher = events(*"abcd"), FakePublisher()
    publisher.slow = True
    async with running(relay(outbox, publisher, options=replace(FAST, batch=2))):
        await until(lambda: len(publisher.receipts) == 2)
        assert (publisher.sent, len(outbox.rows), len(publisher.lines)) == (list("abcd"), 4, 1)
        publisher.receipts[1].done.set()
        await asyncio.sleep(0)
        assert len(outbox.rows) == 4
        publisher.receipts[0].done.set()
        await until(lambda: not outbox.rows)
    assert (publisher.sent, outbox.deletions) == (list("abcd"), [[1, 2, 3, 4]])


@pytest.mark.parametrize("most", [{"in_flight": 3}, {"in_flight": 100, "in_flight_bytes": 6}])
async def test_what_is_in_flight_is_bounded(most: dict[str, int]) -> None:
    """With as many rows or bytes in flight as there may be, nothing is read until some of them are settled."""
    outbox, publisher = FakeOutbox(*(message(name, value=b"{}") for name in "abcde")), FakePublisher()
    publisher.slow = True
    batch = 2 if "in_flight_bytes" not in most else 1
    async with running(relay(outbox, publisher, options=replace(FAST, batch=batch, **most))):
        await until(lambda: len(publisher.sent) == 3)
        for _ in range(20):
            await asyncio.sleep(0)
        assert publisher.sent == list("abc")
        publisher.slow = False
        for receipt in publisher.receipts:
            receipt.done.set()
        await until(lambda: not outbox.rows)
    assert publisher.sent == list("abcde")


async def test_failure_in_the_middle_is_overtaken_by_nothing() -> None:
    """When a round fails, those behind it are given up with it, and all of them go again in order on a new line."""
    outbox, publisher, log = events(*"abcdef"), FakePublisher(), CapturedLog()
    publisher.slow = True
    async with running(relay(outbox, publisher, options=replace(FAST, batch=2), log=log)):
        await until(lambda: len(publisher.receipts) == 3)
        publisher.receipts[0].outcomes = [None, PublishError("timed out")]
        publisher.slow = False
        publisher.receipts[0].done.set()
        await until(lambda: not outbox.rows)
    assert publisher.sent == [*"abcdef", *"bcdef"]
    assert (len(publisher.lines), log.names) == (2, ["relay_round_failed"])


async def test_what_commits_while_a_failure_is_cleared_up_waits_for_its_turn() -> None:
    """A row that was read before a failure was known is not sent after it on a new line: what failed goes first."""
    outbox, publisher = events("a"), FakePublisher()
    publisher.slow = True
    made = relay(outbox, publisher, options=replace(FAST, poll_seconds=0.0, idle_seconds=0.0))
    reading = outbox.pausing_reads()
    async with running(made):
        await reading.pass_one()
        await until(lambda: len(publisher.receipts) == 1)
        outbox.add(message("b"))
        await reading.begun()  # row b is read, with a in flight
        publisher.receipts[0].give_up()
        for _ in range(20):
            await asyncio.sleep(0)
        publisher.slow = False
        reading.release()
        await until(lambda: not outbox.rows)
    new = publisher.sent[-2:]
    assert (new, len(publisher.lines)) == (["a", "b"], 2)


async def test_acknowledged_rows_that_cannot_be_deleted_are_not_sent_again() -> None:
    """While the database is away what was acknowledged is remembered, and deleted when it is back."""
    outbox, publisher, log = events("a", "b"), FakePublisher(), CapturedLog()
    outbox.failures.append(TransientError("gone"))
    async with running(relay(outbox, publisher, log=log)):
        await until(lambda: not outbox.rows)
    assert (publisher.sent, log.names) == (["a", "b"], ["relay_round_failed"])


async def test_refused_message_is_parked_when_the_database_is_back() -> None:
    """A message that could not be parked is neither forgotten nor sent again, and is said once, when it is."""
    outbox, publisher, log = events("big"), FakePublisher(big=RecordRefusedError("too large")), CapturedLog()
    made = relay(outbox, publisher, log=log)
    outbox.failures.append(TransientError("gone"))
    with pytest.raises(TransientError):
        await made.run_once()
    await made.run_once()
    assert (outbox.parked, len(publisher.receipts)) == ({1: "too large"}, 1)
    assert log.names == ["message_parked"]


async def test_relay_that_lost_its_lease_settles_what_it_has_sent() -> None:
    """Without the lease nothing more is read; what is acknowledged by then is deleted."""
    outbox, publisher, clock = events("a", "b"), FakePublisher(), ManualClock()
    publisher.slow = True
    made = relay(outbox, publisher, options=replace(FAST, batch=1, in_flight=1), clock=clock)
    async with running(made):
        await until(lambda: publisher.sent == ["a"])
        outbox.held = False
        clock.seconds = 60.0
        publisher.receipts[0].done.set()
        await until(lambda: outbox.holds == 2)
        assert [one.event_id for one in outbox.rows.values()] == ["b"]
    assert publisher.sent == ["a"]


async def test_round_that_never_settles_shows_in_the_last_turn() -> None:
    """The watchdog sees the slower half: sending that turns does not hide settling that hangs."""
    outbox, publisher, clock = events("a"), FakePublisher(), ManualClock()
    publisher.slow = True
    made = relay(outbox, publisher, clock=clock)
    async with running(made):
        await until(lambda: len(publisher.receipts) == 1)
        await asyncio.sleep(0)
        clock.seconds = 30.0
        outbox.looked.clear()
        made.wake()
        await outbox.looked.wait()
        assert made.last_turn == 0.0
        publisher.receipts[0].done.set()
        await until(lambda: made.last_turn == 30.0)


@given(st.lists(st.tuples(st.text(max_size=8), st.none() | st.binary(max_size=20)), max_size=6).map(tuple))
@example((("more than ASCII", "é".encode()),))
@example((("half of a pair \udcff", b"\xff"), ("both halves \ud83d\ude00", None)))
def test_headers_survive_the_outbox(headers: tuple[tuple[str, bytes | None], ...]) -> None:
    """Any header comes back from the outbox as it went in: any bytes, no value at all, names twice."""
    assert decode_headers(encode_headers(headers)) == headers
