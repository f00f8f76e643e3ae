from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from consumer.client import inbox as inbox_module
from consumer.client.errors import ClientError
from consumer.client.inbox import Inbox, Mailroom
from schemas.enums import TopicKind
from tests.unit.client.events import COMMAND, EXECUTION, SOURCE, event, of_other_execution, rejection, status, step

if TYPE_CHECKING:
    from consumer.client.events import Event

IDENTITY = (SOURCE, COMMAND)


def mailroom(kind: TopicKind = TopicKind.TRAIN, execucao_id: str | None = None) -> Mailroom:
    room = Mailroom()
    room.add(Inbox(kind, *IDENTITY, execucao_id))
    return room


async def followed(room: Mailroom, seconds: float = 5.0) -> list[Event]:
    return [item async for item in room.follow(IDENTITY, seconds)]


async def test_command_is_followed_by_its_cause() -> None:
    """All events that name the command as their cause come, in order; those of other commands do not."""
    room = mailroom()
    told = [event(status("PENDENTE", 1)), event(step(4, "RUNNING", 1)), event(step(10, "COMPLETED", 2))]
    for item in (*told, of_other_execution(status("CONCLUIDO", 2)), event(status("CONCLUIDO", 3))):
        room.deliver(item)
    assert await followed(room) == [*told, event(status("CONCLUIDO", 3))]


async def test_other_events_of_a_named_execution_are_not_ours() -> None:
    """That the execution belongs to another command is told by the rejection, not by that one's events."""
    room = mailroom(execucao_id=EXECUTION)
    room.deliver(event(status("CONCLUIDO", 3), causation_id="command-of-somebody"))
    room.deliver(event(rejection()))
    assert await followed(room) == [event(rejection())]


@pytest.mark.parametrize("other", [rejection(command_id="another"), rejection(source="/another")])
async def test_rejection_is_matched_by_source_and_id(other: object) -> None:
    """The rejection of another command with half our identity does not end ours."""
    room = mailroom()
    room.deliver(event(other))  # type: ignore[arg-type]  # parametrize knows no types
    with pytest.raises(TimeoutError):
        await followed(room, seconds=0.02)


async def test_cancellation_is_followed_to_the_end_of_its_execution() -> None:
    """A cancellation is answered by the terminal status of the execution that another command caused."""
    room = mailroom(TopicKind.CANCEL, EXECUTION)
    end = event(status("ERRO", 3, error="cancelled"), causation_id="the-train-command")
    room.deliver(of_other_execution(status("ERRO", 3)))
    room.deliver(end)
    assert await followed(room) == [end]


async def test_last_step_may_come_after_the_end() -> None:
    """The step log is another topic: its last event is waited for a moment after the terminal status."""
    room = mailroom()
    room.deliver(event(status("CONCLUIDO", 2)))
    got = []
    async for item in room.follow(IDENTITY, 5.0):
        got.append(item)
        if item.terminal:
            room.deliver(event(step(10, "COMPLETED", 9)))
    assert got == [event(status("CONCLUIDO", 2)), event(step(10, "COMPLETED", 9))]


async def test_missing_last_step_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end is the end even if the last step never comes."""
    monkeypatch.setattr(inbox_module, "LINGER_SECONDS", 0.01)
    room = mailroom()
    room.deliver(event(status("CONCLUIDO", 2)))
    assert await followed(room) == [event(status("CONCLUIDO", 2))]


async def test_end_that_does_not_come_is_a_timeout() -> None:
    """What came is given, then the time is up."""
    room = mailroom()
    room.deliver(event(status("PENDENTE", 1)))
    events = aiter(room.follow(IDENTITY, 0.02))
    assert await anext(events) == event(status("PENDENTE", 1))
    with pytest.raises(TimeoutError):
        await anext(events)


async def test_failed_reading_reaches_every_follower() -> None:
    """Whoever waits, and whoever begins to wait later, gets the error of the reader."""
    room = mailroom()
    room.fail(ClientError("away"))
    room.add(Inbox(TopicKind.TRAIN, SOURCE, "later", None))
    for identity in (IDENTITY, (SOURCE, "later")):
        with pytest.raises(ClientError, match="away"):
            await anext(aiter(room.follow(identity, 5.0)))


async def test_followed_command_is_given_up() -> None:
    """After its end a command takes no more memory, and following it again says why that is not possible."""
    room = mailroom()
    room.deliver(event(rejection()))
    assert await followed(room)
    with pytest.raises(LookupError, match=COMMAND):
        room.follow(IDENTITY, 1.0)


async def test_command_sent_again_keeps_its_events() -> None:
    """Sending a command a second time does not lose what was told about it before."""
    room = mailroom()
    room.deliver(event(rejection()))
    room.add(Inbox(TopicKind.TRAIN, *IDENTITY, None))
    assert await followed(room) == [event(rejection())]
