from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.db.outbox import decode_headers, encode_headers
from consumer.errors import PublishError, RecordRefusedError, TransientError
from consumer.outbox import Relay, RelayOptions
from tests.builders import message
from tests.fakes import CapturedLog, FakeOutbox, FakePublisher, ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable

FAST = RelayOptions(poll_seconds=60.0, error_pause_seconds=0.0)


def relay(
    outbox: FakeOutbox,
    publisher: FakePublisher,
    *,
    options: RelayOptions = FAST,
    published: Callable[[int], None] = lambda _: None,
    clock: ManualClock | None = None,
    log: CapturedLog | None = None,
) -> Relay:
    return Relay(outbox, publisher, options, published, clock or ManualClock(), (log or CapturedLog()).log)


def events(*names: str) -> FakeOutbox:
    return FakeOutbox(*(message(name) for name in names))


async def test_round_publishes_in_order_and_deletes() -> None:
    """A round publishes the oldest messages in order and deletes what was acknowledged."""
    outbox, publisher = events("a", "b", "c"), FakePublisher()
    counted: list[int] = []
    assert await relay(outbox, publisher, published=counted.append).run_once() == 3
    assert (publisher.sent, outbox.rows, counted) == (["a", "b", "c"], {}, [3])


async def test_only_what_was_acknowledged_is_deleted() -> None:
    """A message whose outcome is unknown stays, with everything that was not acknowledged, and is sent again."""
    outbox, publisher = events("a", "b", "c"), FakePublisher(b=PublishError("timed out"))
    with pytest.raises(PublishError, match="timed out"):
        await relay(outbox, publisher).run_once()
    assert [one.event_id for one in outbox.rows.values()] == ["b"]
    publisher.answers.clear()
    assert await relay(outbox, publisher).run_once() == 1
    assert (publisher.sent, outbox.rows) == (["a", "c", "b"], {})


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


async def test_standby_relay_publishes_nothing() -> None:
    """While another relay is alive this one reads and sends nothing; when it may, it takes over."""
    outbox, publisher = events("a"), FakePublisher()
    outbox.held = False
    made = relay(outbox, publisher)
    assert await made.run_once() == 0
    assert not outbox.looked.is_set()
    outbox.held = True
    assert await made.run_once() == 1


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
    assert await made._round_or_pause() == 1
    clock.seconds = 1.9
    assert made._poll_seconds() == 0.0
    clock.seconds = 2.0
    begun = asyncio.get_running_loop().time()
    assert await made._round_or_pause() == 0
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
    await made._round_or_pause()
    assert (made.last_round, log.names) == (0.0, ["relay_round_failed"])


@given(st.lists(st.tuples(st.text(max_size=8), st.none() | st.binary(max_size=20)), max_size=6).map(tuple))
def test_headers_survive_the_outbox(headers: tuple[tuple[str, bytes | None], ...]) -> None:
    """Any header comes back from the outbox as it went in: any bytes, no value at all, names twice."""
    assert decode_headers(encode_headers(headers)) == headers
