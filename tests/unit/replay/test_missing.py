from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.intake import Intake
from consumer.replay.missing import PreviewMissing, RunMissing
from consumer.replay.tally import Tally
from tests.builders import COMMAND_TOPICS, record, uuid
from tests.fakes import FakeInbox
from tests.unit.replay.stores import FakeStore, numbered

if TYPE_CHECKING:
    from schemas.records import RawRecord


def running(inbox: FakeInbox, oldest_ms: int | None = None) -> RunMissing:
    return RunMissing(Intake(inbox, COMMAND_TOPICS, numbered()), oldest_ms)


def preview(inbox: FakeInbox, oldest_ms: int | None = None) -> PreviewMissing:
    return PreviewMissing(inbox, FakeStore(inbox), COMMAND_TOPICS, numbered(), oldest_ms)


def log() -> list[RawRecord]:
    """Two commands, one of them twice, two bad records, a cancellation of the second and one of nothing."""
    return [
        record(event_id="a", offset=0),
        record(event_id="b", data={"execucao_id": uuid(1)}, offset=1),
        record(event_id="a", offset=2),
        record(value=b"?", offset=3),
        record(data={"created_by": "nobody"}, event_id="c", offset=4),
        record("cancel", {"execucao_id": uuid(1)}, event_id="d", offset=0),
        record("cancel", {"execucao_id": uuid(2)}, event_id="e", offset=1),
    ]


async def test_runs_what_has_no_execution_and_only_once() -> None:
    """What never ran runs, and the same replay again finds duplicates and known bad records alone."""
    inbox = FakeInbox()
    first = await running(inbox).take(log())
    assert first == Tally(records=7, run=2, duplicates=1, cancels=1, bad=3, new_letters=3)
    before = list(inbox.state.messages)
    again = await running(inbox).take(log())
    assert again == Tally(records=7, duplicates=4, bad=3)
    assert inbox.state.messages == before


async def test_records_that_may_be_forgotten_are_left_alone() -> None:
    """A record older than the identities that are kept is not run; one without a time is."""
    inbox = FakeInbox()
    young, old = record(event_id="a", offset=500), record(event_id="b", offset=499)
    timeless = type(young)(young.topic, 0, 7, -1, None, b"{}", ())
    tally = await running(inbox, oldest_ms=1500).take([young, old, timeless])
    assert (tally.run, tally.too_old, len(inbox.state.executions)) == (2, 1, 2)
    assert await preview(FakeInbox(), oldest_ms=1500).take([young, old, timeless]) == tally


async def test_preview_writes_nothing() -> None:
    """A dry run leaves the inbox as it is."""
    inbox = FakeInbox()
    await preview(inbox).take(log())
    assert (inbox.state.commands, inbox.state.messages, inbox.state.refused) == ({}, [], set())


RECORDS = st.builds(
    record,
    kind=st.sampled_from(["train", "predict", "cancel"]),
    data=st.fixed_dictionaries(
        {},
        optional={
            "execucao_id": st.sampled_from([uuid(1), uuid(2)]),
            "created_by": st.sampled_from(["u1", "nobody"]),
            "motivo": st.just("x"),
        },
    ),
    event_id=st.sampled_from(["a", "b", "c", None]),
)


@given(records=st.lists(RECORDS, max_size=16), size=st.integers(1, 5), lived=st.integers(0, 6))
@settings(max_examples=200, deadline=None)
async def test_preview_foretells_the_replay(records: list[RawRecord], size: int, lived: int) -> None:
    """Whatever was there and whatever is read in whatever batches, the dry run counts what the replay then does."""
    log = [replace(raw, offset=offset) for offset, raw in enumerate(records)]
    inbox = FakeInbox()
    inbox.state.users.add("u1")
    await running(inbox).take(log[:lived])
    foretold, done = preview(inbox), running(inbox)
    batches = [log[start : start + size] for start in range(0, len(log), size)]
    told = [await foretold.take(batch) for batch in batches]
    assert told == [await done.take(batch) for batch in batches]
