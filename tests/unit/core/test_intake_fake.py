from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.errors import TransientError
from consumer.intake import IntakeReport
from schemas.enums import StatusExecucao
from schemas.records import RawRecord
from tests.builders import NOW, record
from tests.fakes import FakeInbox
from tests.unit.core.inbox_suite import InboxSuite, World, letters, rejections, taking

if TYPE_CHECKING:
    from consumer.outbound import OutboxMessage


class FakeWorld:
    def __init__(self) -> None:
        self.inbox = FakeInbox()

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
