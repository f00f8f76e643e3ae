from __future__ import annotations

import json

from consumer.intake import Intake
from consumer.replay.rerun import REPLAY_SOURCE, RunAgain, repeated
from consumer.replay.tally import Tally
from schemas.enums import TopicKind
from tests.builders import COMMAND_TOPICS, received, record, reply_headers, uuid
from tests.fakes import FakeInbox
from tests.unit.replay.stores import FakeStore, numbered

LOG = [
    record(event_id="a", data={"execucao_id": uuid(1), "priority": 3}, offset=0),
    record("train", event_id="b", offset=1),
    record(event_id="a", data={"execucao_id": uuid(1), "priority": 3}, offset=2),
    record(event_id="a", data={"priority": 4}, offset=3),
    record(value=b"?", offset=4),
    record("cancel", {"execucao_id": uuid(1)}, event_id="c", offset=5),
]


async def lived() -> FakeInbox:
    """An inbox that has taken the log."""
    inbox = FakeInbox()
    await Intake(inbox, COMMAND_TOPICS, numbered(10)).take(LOG)
    return inbox


def rerun(inbox: FakeInbox, replay_id: str = "r1", *, dry_run: bool = False) -> RunAgain:
    return RunAgain(inbox, FakeStore(inbox), COMMAND_TOPICS, numbered(), replay_id, dry_run=dry_run)


async def test_every_command_with_an_execution_runs_once_more() -> None:
    """Each known command gets one new execution that names the old one; the rest is left alone."""
    inbox = await lived()
    new = record(event_id="never", offset=9)
    tally = await rerun(inbox).take([*LOG, new])
    assert tally == Tally(records=7, run=2, duplicates=1, never_ran=1, cancels=1, bad=2)
    made = [item for item in inbox.state.commands.values() if item.identity.source == f"{REPLAY_SOURCE}/r1"]
    assert {(item.topic_kind, item.replay_of) for item in made} == {
        (TopicKind.PREDICT, uuid(1)),
        (TopicKind.TRAIN, uuid(10)),
    }
    assert len({item.execucao_id for item in made} | {uuid(1), uuid(10)}) == 4


async def test_same_replay_again_makes_nothing_new() -> None:
    """With the same id everything is a duplicate, also in another batch; with another id it runs once more."""
    inbox = await lived()
    await rerun(inbox).take(LOG)
    before = set(inbox.state.commands), list(inbox.state.messages)
    again = rerun(inbox)
    assert (await again.take(LOG[:2])).duplicates == 2
    assert (await again.take(LOG[2:])).run == 0
    assert (set(inbox.state.commands), inbox.state.messages) == before
    assert (await rerun(inbox, "r2").take(LOG)).run == 2


async def test_dry_run_counts_the_same_and_writes_nothing() -> None:
    """A dry run foretells the counts batch by batch and leaves no trace."""
    inbox = await lived()
    before = set(inbox.state.commands)
    foretold = rerun(inbox, dry_run=True)
    told = [await foretold.take(LOG[:1]), await foretold.take(LOG[1:])]
    assert set(inbox.state.commands) == before
    done = rerun(inbox)
    assert told == [await done.take(LOG[:1]), await done.take(LOG[1:])]


async def test_refused_rerun_leaves_no_dead_letter() -> None:
    """A command whose user is gone by now is counted as bad, and nobody hears of it a second time."""
    inbox = FakeInbox()
    inbox.state.users.add("u1")
    mine = record(event_id="a", data={"created_by": "u1"})
    await Intake(inbox, COMMAND_TOPICS, numbered(10)).take([mine])
    inbox.state.users.clear()
    before = list(inbox.state.messages)
    assert await rerun(inbox).take([mine]) == Tally(records=1, bad=1)
    assert inbox.state.messages == before


def test_repeated_command_keeps_what_it_asks_for() -> None:
    """Data and correlation stay; the named execution, the deadline and the waiting client do not."""
    headers = {"ce_expirytime": "2020-01-01T00:00:00Z", "ce_correlationid": "conv", **reply_headers()}
    item = received("predict", {"execucao_id": uuid(1), "horizonte_semanas": 4}, event_id="a", headers=headers)
    again = repeated(item, "r1", uuid(1), uuid(2))
    assert (again.execucao_id, again.replay_of, again.names_execution) == (uuid(2), uuid(1), False)
    asked = json.loads(again.canonical_json)
    assert (asked["execucao_id"], asked["horizonte_semanas"]) == (None, 4)
    assert (again.envelope.correlation_id, again.envelope.expires_at, again.envelope.reply) == ("conv", None, None)
    assert (again.envelope.source, again.envelope.id) == again.identity
    assert again.identity == repeated(item, "r1", uuid(1), uuid(3)).identity
    assert again.identity != repeated(item, "r2", uuid(1), uuid(2)).identity


def test_derived_identities_do_not_collide() -> None:
    """Source and id that only together read the same are two commands."""
    identities = []
    for source, event_id in (("a", "bc"), ("ab", "c")):
        item = received("predict", headers={"ce_source": source, "ce_id": event_id, "ce_specversion": "1.0"})
        identities.append(repeated(item, "r1", uuid(1), uuid(2)).identity)
    assert len(set(identities)) == 2
