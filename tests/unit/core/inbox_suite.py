"""What any inbox must do; the fake and the real one run the same tests."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from consumer.intake import Inbox, Intake, IntakeReport
from consumer.model import ExecutionId
from tests.builders import COMMAND_TOPICS, received, record, reply_headers, uuid

if TYPE_CHECKING:
    from collections.abc import Iterable

    from consumer.outbound import OutboxMessage


class World(Protocol):
    """An inbox, what surrounds it, and what it left behind."""

    @property
    def inbox(self) -> Inbox:
        """What is tested."""
        ...

    async def pendente(self, execucao_id: str) -> None:
        """The backend inserts an execution."""

    async def user(self, user_id: str) -> None:
        """A user exists."""

    async def run(self, execucao_id: str) -> None:
        """A worker claims and begins the execution."""

    async def cancel_reason(self, execucao_id: str) -> str | None:
        """What a running execution was told."""

    async def status(self, execucao_id: str) -> str | None:
        """Of the backend's row."""

    async def executions(self) -> int:
        """How many there are, whoever made them."""

    async def messages(self) -> list[OutboxMessage]:
        """Everything in the outbox, in order."""


def taking(world: World) -> Intake:
    numbers = count(1000)
    return Intake(world.inbox, COMMAND_TOPICS, lambda: ExecutionId(str(uuid(next(numbers)))))


def statuses(messages: Iterable[OutboxMessage]) -> list[dict[str, Any]]:
    kept = [one for one in messages if one.topic == "forecast.status" and one.value is not None]
    return [json.loads(one.value or b"") for one in kept if not one.event_id.endswith(":rejected")]


def rejections(messages: Iterable[OutboxMessage]) -> list[str]:
    kept = [one for one in messages if one.topic == "forecast.status" and one.event_id.endswith(":rejected")]
    return [json.loads(one.value or b"")["errors"][0]["code"] for one in kept]


def letters(messages: Iterable[OutboxMessage]) -> int:
    return sum(one.topic == "forecast.dlq" for one in messages)


class InboxSuite:
    """Subclasses give the fixture ``world``."""

    @pytest.fixture
    def world(self) -> World:
        raise NotImplementedError

    async def test_each_command_becomes_one_execution(self, world: World) -> None:
        """A new command leaves an execution PENDENTE and the event that tells its id."""
        report = await taking(world).take([record(kind, event_id=kind) for kind in ("train", "predict", "backtest")])
        told = statuses(await world.messages())
        assert report == IntakeReport(accepted=3)
        assert [(one["comando"], one["status"], one["sequence"]) for one in told] == [
            ("train", "PENDENTE", 1),
            ("predict", "PENDENTE", 1),
            ("backtest", "PENDENTE", 1),
        ]
        assert [await world.status(one["execucao_id"]) for one in told] == ["PENDENTE"] * 3

    async def test_mixed_batch_keeps_its_good_records(self, world: World) -> None:
        """Bad bytes, bad fields, unknown users and duplicates cost themselves alone, in one transaction."""
        await world.user("u1")
        batch = [
            record(event_id="a", offset=0),
            record(value=b"\xff", offset=1),
            record(data={"horizonte_semanas": 53}, event_id="b", offset=2),
            record(data={"created_by": "nobody"}, event_id="c", offset=3),
            record(event_id="a", offset=4),
            record(data={"created_by": "u1"}, event_id="d", offset=5),
            record(value=None, offset=6),
            record("cancel", {"execucao_id": uuid(77)}, event_id="e", offset=7),
        ]
        report = await taking(world).take(batch)
        messages = await world.messages()
        assert report == IntakeReport(accepted=2, duplicates=1, cancels=0, refused=5)
        assert letters(messages) == 5
        assert sorted(rejections(messages)) == sorted(
            ["invalid-utf8", "out-of-range", "null-value", "unknown-user", "unknown-execution"]
        )
        assert await world.executions() == 2

    async def test_whole_batch_again_changes_nothing(self, world: World) -> None:
        """The same records delivered again are duplicates: no execution, no letter, no event is new."""
        batch = [record(event_id="a", offset=0), record(value=b"{", offset=1), record(offset=2)]
        await taking(world).take(batch)
        before = await world.messages()
        report = await taking(world).take(batch)
        assert (report, await world.executions()) == (IntakeReport(duplicates=2), 2)
        assert await world.messages() == before

    async def test_reused_id_is_rejected_and_the_original_stands(self, world: World) -> None:
        """The same identity with other data is rejected, and the first execution is not touched."""
        await taking(world).take([record(event_id="a", data={"execucao_id": uuid(1)}, offset=0)])
        report = await taking(world).take([record(event_id="a", data={"priority": 1}, offset=1)])
        assert report == IntakeReport(refused=1)
        assert rejections(await world.messages()) == ["id-reused"]
        assert await world.status(uuid(1)) == "PENDENTE"

    async def test_backends_pendente_execution_is_adopted_once(self, world: World) -> None:
        """An execution that the backend inserted is adopted by the first command that names it, not by a second."""
        await world.pendente(uuid(1))
        first, second = (record(event_id=name, data={"execucao_id": uuid(1)}) for name in "ab")
        assert await taking(world).take([first]) == IntakeReport(accepted=1)
        assert await taking(world).take([second]) == IntakeReport(refused=1)
        assert rejections(await world.messages()) == ["execution-exists"]
        assert (await world.status(uuid(1)), await world.executions()) == ("PENDENTE", 1)

    async def test_rejected_command_ends_its_waiting_execution(self, world: World) -> None:
        """A PENDENTE execution whose command is rejected ends in ERRO with an event, so no screen waits for ever."""
        await world.pendente(uuid(1))
        bad = record(event_id="a", data={"execucao_id": uuid(1), "horizonte_semanas": 0})
        assert await taking(world).take([bad]) == IntakeReport(refused=1)
        [told] = statuses(await world.messages())
        assert (told["execucao_id"], told["status"], told["sequence"]) == (uuid(1), "ERRO", 1)
        assert told["error"]["code"] == "rejected"
        assert "horizonte_semanas" in told["error"]["message"]
        assert await world.status(uuid(1)) == "ERRO"

    async def test_rejected_command_leaves_an_attached_execution_alone(self, world: World) -> None:
        """A bad command that names somebody else's execution does that one no harm, also in the same batch."""
        bad = record(event_id="b", data={"execucao_id": uuid(1), "priority": 99}, offset=1)
        await taking(world).take([record(event_id="a", data={"execucao_id": uuid(1)}), bad])
        assert await world.status(uuid(1)) == "PENDENTE"
        assert [one["status"] for one in statuses(await world.messages())] == ["PENDENTE"]

    async def test_cancel_ends_a_queued_execution(self, world: World) -> None:
        """A queued execution ends in ERRO with the code cancelled and the reason, as its second event."""
        await taking(world).take([record(event_id="a", data={"execucao_id": uuid(1)})])
        cancel = record("cancel", {"execucao_id": uuid(1), "motivo": "typo"}, event_id="c")
        assert await taking(world).take([cancel]) == IntakeReport(cancels=1)
        last = statuses(await world.messages())[-1]
        assert (last["sequence"], last["status"], last["terminal"]) == (2, "ERRO", True)
        assert last["error"] == {"code": "cancelled", "message": "cancelled: typo"}
        assert await world.status(uuid(1)) == "ERRO"

    async def test_cancel_in_the_batch_of_its_command_works(self, world: World) -> None:
        """A cancellation right behind its command, in one batch, ends the execution that was just made."""
        batch = [
            record(event_id="a", data={"execucao_id": uuid(1)}),
            record("cancel", {"execucao_id": uuid(1)}, event_id="c"),
        ]
        assert await taking(world).take(batch) == IntakeReport(accepted=1, cancels=1)
        assert [one["status"] for one in statuses(await world.messages())] == ["PENDENTE", "ERRO"]

    @pytest.mark.parametrize("at_once", [True, False])
    async def test_second_cancel_of_a_queued_execution_is_late(self, world: World, *, at_once: bool) -> None:
        """The first cancellation ends a queued execution, so the second is already-terminal, in one batch or in two."""
        await world.pendente(uuid(2))
        await taking(world).take([record(event_id="a", data={"execucao_id": uuid(1)})])
        names = [(number, f"{number}{name}") for number in (1, 2) for name in "cd"]
        cancels = [
            record("cancel", {"execucao_id": uuid(number)}, event_id=name, offset=offset)
            for offset, (number, name) in enumerate(names)
        ]
        reports = [await taking(world).take(batch) for batch in ([cancels] if at_once else [[one] for one in cancels])]
        assert sum(report.cancels for report in reports) == sum(report.refused for report in reports) == 2
        assert rejections(await world.messages()) == ["already-terminal"] * 2
        assert [one["status"] for one in statuses(await world.messages())] == ["PENDENTE", "ERRO", "ERRO"]

    async def test_bad_record_that_is_twice_in_a_batch_has_one_dead_letter(self, world: World) -> None:
        """A batch is read in several polls, and a rebalance between them brings records again."""
        bad, unknown = record(value=b"?"), record(event_id="a", data={"created_by": "nobody"}, offset=1)
        report = await taking(world).take([bad, unknown, bad, unknown, record(event_id="b", offset=2)])
        assert report == IntakeReport(accepted=1, refused=2)
        assert (letters(await world.messages()), len(rejections(await world.messages()))) == (2, 2)

    async def test_running_execution_may_be_cancelled_twice(self, world: World) -> None:
        """A running execution has not ended before its worker says so: each cancellation of it is taken."""
        await taking(world).take([record(event_id="a", data={"execucao_id": uuid(1)})])
        await world.run(uuid(1))
        cancels = [record("cancel", {"execucao_id": uuid(1)}, event_id=name) for name in "cd"]
        assert await taking(world).take(cancels) == IntakeReport(cancels=2)
        assert rejections(await world.messages()) == []

    async def test_cancel_tells_a_running_execution(self, world: World) -> None:
        """A running execution is told and goes on until its worker hears of it."""
        await taking(world).take([record(event_id="a", data={"execucao_id": uuid(1)})])
        await world.run(uuid(1))
        cancel = record("cancel", {"execucao_id": uuid(1), "motivo": "typo"}, event_id="c")
        assert await taking(world).take([cancel]) == IntakeReport(cancels=1)
        assert await world.cancel_reason(uuid(1)) == "cancelled: typo"
        assert await world.status(uuid(1)) == "EXECUTANDO"

    async def test_cancel_ends_an_unattached_execution(self, world: World) -> None:
        """An execution whose command never came ends in ERRO when it is cancelled."""
        await world.pendente(uuid(1))
        assert await taking(world).take([record("cancel", {"execucao_id": uuid(1)}, event_id="c")]) == IntakeReport(
            cancels=1
        )
        assert await world.status(uuid(1)) == "ERRO"
        assert [one["error"]["code"] for one in statuses(await world.messages())] == ["cancelled"]

    async def test_late_cancel_is_rejected_and_a_repeated_one_is_not(self, world: World) -> None:
        """Cancelling what has ended is already-terminal; the cancellation that ended it, delivered again, is not."""
        await world.pendente(uuid(1))
        first, second = (record("cancel", {"execucao_id": uuid(1)}, event_id=name) for name in "cd")
        await taking(world).take([first])
        assert await taking(world).take([first, second]) == IntakeReport(duplicates=1, refused=1)
        assert rejections(await world.messages()) == ["already-terminal"]

    async def test_refused_cancel_stays_refused_when_its_execution_exists(self, world: World) -> None:
        """What has a dead letter is not judged anew when it is delivered again: it never gets an execution as well."""
        early = record("cancel", {"execucao_id": uuid(1)}, event_id="c")
        assert await taking(world).take([early]) == IntakeReport(refused=1)
        await world.pendente(uuid(1))
        assert await taking(world).take([early]) == IntakeReport()
        assert await world.status(uuid(1)) == "PENDENTE"
        assert rejections(await world.messages()) == ["unknown-execution"]

    async def test_waiting_client_is_answered_beside_the_topic(self, world: World) -> None:
        """A NestJS request gets its first status on its own reply topic as well."""
        await taking(world).take([record(event_id="a", headers=reply_headers("web.reply", 2))])
        copies = [one for one in await world.messages() if one.topic == "web.reply"]
        assert [(one.partition, dict(one.headers)["kafka_correlationId"]) for one in copies] == [(2, b"corr-1")]

    async def test_repetition_tells_what_it_repeats(self, world: World) -> None:
        """The first event of an execution that a replay made names the execution that it repeats."""
        item = replace(received(event_id="a", data={"execucao_id": uuid(2)}), replay_of=uuid(1))
        async with world.inbox.transaction() as inbox:
            await inbox.accept([item])
        assert [one["replay_of"] for one in statuses(await world.messages())] == [uuid(1)]

    async def test_recreated_topic_is_not_mistaken_for_the_old_one(self, world: World) -> None:
        """A bad record at a known offset with another timestamp is a new record: its letter is written."""
        old = record(value=b"?", offset=5)
        new = type(old)(old.topic, old.partition, old.offset, old.timestamp_ms + 1, old.key, old.value)
        assert await taking(world).take([old]) == IntakeReport(refused=1)
        assert await taking(world).take([new]) == IntakeReport(refused=1)
        assert letters(await world.messages()) == 2
