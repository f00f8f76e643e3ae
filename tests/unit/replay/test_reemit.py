from __future__ import annotations

from consumer.intake import Intake
from consumer.replay.reemit import ReemitEvents
from consumer.replay.tally import Tally
from tests.builders import COMMAND_TOPICS, message, record, uuid
from tests.fakes import FakeInbox
from tests.unit.replay.stores import FakeStore, numbered

LOG = [
    record(event_id="a", data={"execucao_id": uuid(1)}, offset=0),
    record(event_id="b", data={"execucao_id": uuid(2)}, offset=1),
    record(event_id="a", data={"execucao_id": uuid(1)}, offset=2),
    record(event_id="a", data={"priority": 1}, offset=3),
    record(value=b"?", offset=4),
    record("cancel", {"execucao_id": uuid(1)}, event_id="c", offset=5),
]
EVENTS = [message("e:step:1"), message("e:status:3")]


async def lived() -> FakeStore:
    """The log was taken; the first execution has ended, the second has not."""
    inbox = FakeInbox()
    await Intake(inbox, COMMAND_TOPICS, numbered()).take(LOG)
    return FakeStore(inbox, ended={uuid(1): EVENTS})


async def test_ended_executions_are_told_again_once() -> None:
    """However many records led to an execution, and in however many batches, its events are sent once."""
    store = await lived()
    again = ReemitEvents(store, COMMAND_TOPICS, numbered())
    never = record(event_id="never", offset=9)
    tally = await again.take([*LOG, never])
    assert tally == Tally(records=7, reemitted=1, duplicates=1, running=1, never_ran=1, cancels=1, bad=2, events=2)
    assert store.sent == EVENTS
    assert await again.take(LOG[:1]) == Tally(records=1, duplicates=1)
    assert store.sent == EVENTS


async def test_dry_run_sends_nothing() -> None:
    """A dry run counts the same events and sends none."""
    store = await lived()
    tally = await ReemitEvents(store, COMMAND_TOPICS, numbered(), dry_run=True).take(LOG)
    assert (tally.reemitted, tally.events, store.sent) == (1, 2, [])
