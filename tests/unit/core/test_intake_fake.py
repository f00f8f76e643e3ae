from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.errors import TransientError
from consumer.intake import IntakeReport
from schemas.enums import StatusExecucao
from schemas.records import RawRecord
from tests.builders import NOW, record, uuid
from tests.fakes import FakeInbox, FakeInboxTransaction
from tests.unit.core.inbox_suite import InboxSuite, World, letters, rejections, taking

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from consumer.outbound import OutboxMessage
    from consumer.received import Received


class FakeWorld:
    def __init__(self, inbox: FakeInbox | None = None) -> None:
        self.inbox = inbox or FakeInbox()

    async def pendente(self, execucao_id: str) -> None:
        self.inbox.state.unattached[execucao_id] = StatusExecucao.PENDENTE

    async def user(self, user_id: str) -> None:
        self.inbox.state.users.add(user_id)

    async def run(self, execucao_id: str) -> None:
        self.inbox.state.running.add(execucao_id)
        self.inbox.state.executions[execucao_id].begin(NOW)

    async def cancel_reason(self, execucao_id: str) -> str | None:
        return self.inbox.state.told.get(execucao_id)

    async def status(self, execucao_id: str) -> str | None:
        state = self.inbox.state
        execution = state.executions.get(execucao_id)
        return execution.status if execution is not None else state.unattached.get(execucao_id)

    async def executions(self) -> int:
        return len(self.inbox.state.executions) + len(self.inbox.state.unattached)

    async def messages(self) -> list[OutboxMessage]:
        return list(self.inbox.state.messages)


class TestFakeInbox(InboxSuite):
    @pytest.fixture
    def world(self) -> World:
        return FakeWorld()


async def test_batch_that_cannot_be_committed_leaves_nothing() -> None:
    """When the commit fails nothing of the batch is kept, and the same batch can be taken again."""
    world = FakeWorld()
    world.inbox.failures.append(TransientError("gone"))
    batch = [record(event_id="a"), record(value=b"?", offset=1)]
    with pytest.raises(TransientError):
        await taking(world).take(batch)
    assert await world.messages() == []
    assert await taking(world).take(batch) == IntakeReport(accepted=1, refused=1)


async def test_batch_is_one_transaction() -> None:
    """Commands, cancellations and dead letters of a batch are committed together."""
    world = FakeWorld()
    await taking(world).take([record(event_id=str(number), offset=number) for number in range(120)])
    assert world.inbox.commits == 1


class PoisonedInbox(FakeInbox):
    """Fails on the commands at some offsets."""

    def __init__(self, poisoned: set[int], error: Exception) -> None:
        super().__init__()
        self.begun = 0
        self._poisoned = poisoned
        self._error = error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[FakeInboxTransaction]:
        self.begun += 1
        async with super().transaction() as work:
            yield PoisonedTransaction(work, self._poisoned, self._error)


class BrokenInbox(FakeInbox):
    """Fails before it begins."""

    def transaction(self) -> Any:
        raise ValueError("nobody foresaw this")


class PoisonedTransaction(FakeInboxTransaction):
    def __init__(self, work: FakeInboxTransaction, poisoned: set[int], error: Exception) -> None:
        super().__init__(work._state)
        self._poisoned = poisoned
        self._error = error

    async def accept(self, received: Sequence[Received]) -> list[Received]:
        if any(item.raw.offset in self._poisoned for item in received):
            raise self._error
        return await super().accept(received)


def eight_commands() -> list[RawRecord]:
    return [record(event_id=str(number), offset=number) for number in range(8)]


@settings(max_examples=40, deadline=None)
@given(poisoned=st.sets(st.integers(0, 7)))
async def test_records_on_which_we_fail_are_refused_alone(poisoned: set[int]) -> None:
    """Whichever records the inbox fails on, those have a dead letter each and all their neighbours are accepted."""
    inbox = PoisonedInbox(poisoned, ValueError("nobody foresaw this"))
    world, batch = FakeWorld(inbox), eight_commands()
    report = await taking(world).take(batch)
    assert report == IntakeReport(accepted=8 - len(poisoned), refused=len(poisoned))
    messages = await world.messages()
    assert {position[2] for position in inbox.state.refused} == poisoned
    assert {item.raw.offset for item in inbox.state.commands.values()} == set(range(8)) - poisoned
    assert rejections(messages) == ["invalid-value"] * letters(messages)
    assert letters(messages) == len(poisoned)
    again = await taking(world).take(batch)
    assert again == IntakeReport(duplicates=8 - len(poisoned))


async def test_record_on_which_we_fail_is_told_as_our_fault() -> None:
    """The rejection names the class of the failure and asks for a report; the failure's own text stays inside."""
    world = FakeWorld(PoisonedInbox({0}, ValueError("password=secret")))
    assert await taking(world).take([record(event_id="a")]) == IntakeReport(refused=1)
    [rejection] = [one for one in await world.messages() if one.event_id.endswith(":rejected")]
    text = (rejection.value or b"").decode()
    assert "ValueError" in text
    assert "fault of the service" in text
    assert "secret" not in text


async def test_record_on_which_we_fail_is_refused_by_its_own_name() -> None:
    """Its rejection names the execution and the command's identity: no screen of the backend waits for ever."""
    world = FakeWorld(PoisonedInbox({0}, ValueError("nobody foresaw this")))
    await taking(world).take([record(data={"execucao_id": uuid(1)}, event_id="a")])
    [rejection] = [one for one in await world.messages() if one.event_id.endswith(":rejected")]
    told = json.loads(rejection.value or b"")
    assert (told["id"], told["execucao_id"]) == ("a", uuid(1))


async def test_a_batch_of_nothing_that_fails_says_so() -> None:
    """There is nothing to halve."""
    world = FakeWorld(BrokenInbox())
    with pytest.raises(ValueError, match="nobody foresaw this"):
        await taking(world).take([])


async def test_absent_database_is_nobodys_fault() -> None:
    """A failure that may pass is raised at once: the batch is not halved and nothing is refused."""
    inbox = PoisonedInbox({3}, TransientError("gone"))
    world = FakeWorld(inbox)
    with pytest.raises(TransientError, match="gone"):
        await taking(world).take(eight_commands())
    assert (inbox.begun, inbox.commits, await world.messages()) == (1, 0, [])


async def test_database_that_goes_away_while_halving_is_told() -> None:
    """When the database goes away in the middle of the search, the batch is taken again: no record is lost for it."""
    inbox = PoisonedInbox({7}, ValueError("nobody foresaw this"))
    inbox.failures.append(TransientError("gone"))
    world, batch = FakeWorld(inbox), eight_commands()
    with pytest.raises(TransientError, match="gone"):
        await taking(world).take(batch)
    assert await taking(world).take(batch) == IntakeReport(accepted=7, refused=1)


HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["ce_id", "ce_source", "ce_type", "ce_expirytime", "content-type", "idempotency-key", "x"])
        | st.text(max_size=5),
        st.none() | st.binary(max_size=12) | st.sampled_from([b"application/cloudevents+json", b"forecast.train"]),
    ),
    max_size=4,
).map(tuple)
VALUES = st.none() | st.binary(max_size=40) | st.sampled_from([b"{}", b'{"priority": 3}', b'{"priority": 30}', b"[]"])


@settings(max_examples=150, deadline=None)
@given(parts=st.lists(st.tuples(VALUES, HEADERS, st.none() | st.binary(max_size=5)), max_size=6))
async def test_arbitrary_records_end_as_execution_duplicate_or_letter(
    parts: list[tuple[bytes | None, tuple[tuple[str, bytes | None], ...], bytes | None]],
) -> None:
    """Whatever bytes come, each record is counted once, each refusal has one letter and one rejection."""
    world = FakeWorld()
    batch = [
        RawRecord("forecast.train", 0, offset, 9, key, value, headers)
        for offset, (value, headers, key) in enumerate(parts)
    ]
    report = await taking(world).take(batch)
    messages = await world.messages()
    assert sum(report.counts().values()) == len(batch)
    assert report.refused == letters(messages) == len(rejections(messages))
    assert report.accepted == await world.executions()
