from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, text

from consumer.db.queue import RESCUE
from consumer.errors import LeaseLostError, PermanentError, TransientError
from consumer.model import Lease
from consumer.ports.queue import ChunkProgress, LeaseState
from consumer.steps import Step
from schemas.enums import CommandKind, ErrorCode, StatusExecucao
from tests.builders import at, planned, planned_chunk, uuid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from consumer.ports.queue import Claim
    from tests.integration.core.store import Store


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def ids(claims: list[Claim]) -> list[str]:
    return [claim.lease.execucao_id for claim in claims]


async def test_claim_hands_over_the_command(store: Store) -> None:
    """A claim carries the command, its first attempt, its epoch and where it came from."""
    claim = await store.claimed(kind="train", priority=3, force_retrain=True)
    assert (claim.comando, claim.attempt, claim.lease, claim.expired, claim.plan) == (
        CommandKind.TRAIN,
        1,
        Lease(uuid(1), 1),
        False,
        None,
    )
    assert claim.command.model_dump()["force_retrain"] is True
    assert claim.origin == {"command_id": "/tests cmd-1", "topic": "forecast.train", "partition": 0, "offset": 5000}
    row = await store.row()
    assert (row["state"], row["lease_owner"]) == ("running", "worker-1")


async def test_claims_come_by_priority_then_age(store: Store) -> None:
    """The lower priority number runs first; of the same priority the older command."""
    for number, priority in ((1, 5), (2, 9), (3, 0), (4, 5)):
        await store.command(number, priority=priority)
    first = await store.queue().claim(3)
    assert ids([*first, *await store.queue().claim(3)]) == [uuid(3), uuid(1), uuid(4), uuid(2)]


async def test_claim_skips_what_others_have_locked(store: Store) -> None:
    """A command that another transaction holds is passed over, not waited for."""
    await store.command(1, priority=0)
    await store.command(2)
    async with store.database.transaction() as session:
        await session.execute(text("SELECT FROM forecast_consumer.command WHERE priority = 0 FOR UPDATE"))
        assert ids(await store.queue().claim(5)) == [uuid(2)]


async def test_concurrent_workers_never_share_a_command(store: Store) -> None:
    """Many workers that claim at once divide the commands without overlap."""
    for number in range(12):
        await store.command(number)
    claims = await asyncio.gather(*(store.queue(f"w{number}").claim(3) for number in range(6)))
    taken = [execucao_id for some in claims for execucao_id in ids(some)]
    assert sorted(taken) == sorted(set(taken))
    rest = ids(await store.queue().claim(20))
    assert sorted([*taken, *rest]) == [uuid(number) for number in range(12)]


async def test_expired_lease_is_rescued_with_a_new_epoch(store: Store) -> None:
    """When a lease has run out by the database's clock the next claim gets the command, one epoch and attempt on."""
    old = await store.claimed()
    assert await store.queue("w2").claim(1) == []
    await store.expire_leases()
    [new] = await store.queue("w2").claim(1)
    assert (new.lease, new.attempt) == (Lease(uuid(1), 2), 2)
    assert await store.queue().extend([old.lease]) == {old.lease: LeaseState.LOST}
    assert await store.queue("w2").extend([new.lease]) == {new.lease: LeaseState.HELD}


async def test_orphans_are_looked_for_once_a_second(store: Store) -> None:
    """A worker that claims all the time takes orphans over within a second, and does not look for them each time."""
    await store.claimed()
    queue = store.queue("w2")
    assert await queue.claim(1) == []
    await store.expire_leases()
    store.clock.seconds += 0.9
    assert await queue.claim(1) == []
    store.clock.seconds += 0.2
    assert [claim.lease for claim in await queue.claim(1)] == [Lease(uuid(1), 2)]


async def test_first_step_that_lasts_is_told_and_stays_one_row(store: Store) -> None:
    """What the claim kept to itself is told by a successor too: it runs since the first claim, and ends in its row."""
    await store.claimed()
    await store.expire_leases()
    [claim] = await store.queue("w2").claim(1)
    for seconds in (60, 61):
        async with store.queue().fenced(claim.lease) as work:
            work.execution.start_step(Step.LOAD_DATA, at(seconds))
    logged = "SELECT status, started_at, completed_at FROM execucao_step_log"
    assert await store.rows(logged) == [("RUNNING", at(0), None)]
    async with store.queue().fenced(claim.lease) as work:
        work.execution.complete_step(Step.LOAD_DATA, at(62), records=3)
    assert await store.rows(logged) == [("COMPLETED", at(0), at(62))]
    told = await store.events("forecast.step-log")
    assert [(one["sequence"], one["status"]) for one in told] == [(1, "RUNNING"), (2, "COMPLETED")]


async def test_many_running_commands_cost_the_rescue_one_reading_each(store: Store) -> None:
    """Statistics that know of no running command must not make it read all of them again for each of them."""
    await store.execute("ANALYZE forecast_consumer.command")
    for number in range(40):
        await store.command(number)
    await store.queue().claim(40)
    [[plan]] = await store.rows(f"EXPLAIN (ANALYZE, FORMAT JSON) {RESCUE}")
    read = [node["Actual Rows"] * node["Actual Loops"] for node in nodes(plan[0]["Plan"])]
    filtered = [node.get("Rows Removed by Filter", 0) * node["Actual Loops"] for node in nodes(plan[0]["Plan"])]
    assert max(read) + max(filtered) <= 40


async def test_heartbeat_prolongs_the_lease(store: Store) -> None:
    """A heartbeat moves the end of the lease; a lease that was prolonged in time is not rescued."""
    claim = await store.claimed()
    await store.expire_leases()
    assert await store.queue().extend([claim.lease]) == {claim.lease: LeaseState.HELD}
    assert await store.queue("w2").claim(1) == []


async def test_heartbeat_tells_cancellation_and_deadline(store: Store) -> None:
    """A heartbeat says which executions were cancelled and which have passed their deadline."""
    for number in (1, 2, 3):
        await store.command(number, headers={"ce_expirytime": "2035-01-01T00:00:00Z"})
    leases = {claim.lease.execucao_id: claim.lease for claim in await store.queue().claim(3)}
    await store.cancel(1)
    await store.execute(
        "UPDATE forecast_consumer.command SET expires_at = now() - interval '1 s' WHERE execucao_id = :id", id=uuid(2)
    )
    assert await store.queue().extend(list(leases.values())) == {
        leases[uuid(1)]: LeaseState.CANCELLED,
        leases[uuid(2)]: LeaseState.EXPIRED,
        leases[uuid(3)]: LeaseState.HELD,
    }


async def test_heartbeat_of_an_ended_execution_is_lost(store: Store) -> None:
    """What has ended has no lease any more."""
    claim = await store.claimed()
    async with store.queue().fenced(claim.lease) as work:
        work.execution.finish(StatusExecucao.CONCLUIDO, at(1), resumo={})
    assert await store.queue().extend([claim.lease]) == {claim.lease: LeaseState.LOST}


@pytest.mark.parametrize(("deadline", "expired"), [("2020-01-01T00:00:00Z", True), ("2099-01-01T00:00:00Z", False)])
async def test_deadline_is_judged_at_the_claim(store: Store, deadline: str, *, expired: bool) -> None:
    """A claim says whether the deadline has passed by the database's clock."""
    await store.command(headers={"ce_expirytime": deadline})
    [claim] = await store.queue().claim(1)
    assert claim.expired is expired


async def test_handing_back_does_not_count_the_attempt(store: Store) -> None:
    """A command that was handed back is claimed again at once as the same attempt, with a newer epoch."""
    first = await store.claimed()
    await store.queue().hand_back(first.lease)
    [second] = await store.queue("w2").claim(1)
    assert (second.attempt, second.lease.epoch) == (1, 2)


async def test_retry_counts_the_attempt_and_waits(store: Store) -> None:
    """After a failed attempt the command is not claimed before its delay is over, then as the second attempt."""
    first = await store.claimed()
    await store.queue().retry_later(first.lease, 60.0)
    assert await store.queue().claim(1) == []
    wait = "SELECT extract(epoch FROM available_at - now()) FROM forecast_consumer.command"
    assert 55 < float(await store.scalar(wait)) <= 60
    await store.execute("UPDATE forecast_consumer.command SET available_at = now()")
    [second] = await store.queue().claim(1)
    assert second.attempt == 2


async def test_zombie_cannot_hand_back(store: Store) -> None:
    """A worker that lost its lease gives back nothing: the command stays with the new one."""
    old = await store.claimed()
    await store.expire_leases()
    [new] = await store.queue("w2").claim(1)
    await store.queue().hand_back(old.lease)
    await store.queue().retry_later(old.lease, 60.0)
    row = await store.row()
    assert (row["state"], row["lease_owner"], row["lease_epoch"], row["attempt"]) == (
        "running",
        "w2",
        new.lease.epoch,
        2,
    )


async def test_cancelled_retry_does_not_wait_for_its_delay(store: Store) -> None:
    """A failed attempt of a cancelled execution is claimed again at once, so that it ends within seconds."""
    claim = await store.claimed()
    await store.cancel(motivo="typo")
    await store.queue().retry_later(claim.lease, 300.0)
    [again] = await store.queue().claim(1)
    with pytest.raises(PermanentError, match="cancelled: typo") as caught:
        async with store.queue().fenced(again.lease) as work:
            work.execution.begin(at(9))
    assert caught.value.code is ErrorCode.CANCELLED


async def test_accepted_cancel_is_kept_when_the_work_is_faster(store: Store) -> None:
    """An execution that was cancelled before its last commit does not become CONCLUIDO."""
    claim = await store.claimed()
    await store.cancel(motivo="typo")
    with pytest.raises(PermanentError):
        async with store.queue().fenced(claim.lease) as work:
            work.execution.finish(StatusExecucao.CONCLUIDO, at(5), resumo={})
    async with store.queue().fenced(claim.lease) as work:
        work.execution.finish(StatusExecucao.ERRO, at(6), error=(ErrorCode.CANCELLED, "killed"))
    last = (await store.events())[-1]
    assert (last["status"], last["error"]) == ("ERRO", {"code": "cancelled", "message": "cancelled: typo"})


async def test_cancel_of_a_retrying_execution_ends_it(store: Store) -> None:
    """An execution that waits for its next attempt is queued: a cancellation ends it at once, in sequence."""
    claim = await store.claimed()
    await store.queue().retry_later(claim.lease, 60.0)
    await store.cancel()
    assert [(one["sequence"], one["status"]) for one in await store.events()] == [
        (1, "PENDENTE"),
        (2, "EXECUTANDO"),
        (3, "ERRO"),
    ]
    steps = await store.rows("SELECT step_name, status FROM execucao_step_log")
    assert steps == [("load_data", "FAILED")]


async def test_plan_and_chunks_survive(store: Store) -> None:
    """A stored plan comes back with the next claim, its chunks in order, each product as it was planned."""
    claim = await store.claimed()
    async with store.queue().fenced(claim.lease) as work:
        await work.save_plan({"as_of": "2026-11-16"}, [planned_chunk(0, "a", "b"), planned_chunk(1, "c", step=5)])
    async with store.queue().fenced(claim.lease) as work:
        await work.save_chunk(1, {"rows": 4})
    await store.expire_leases()
    [again] = await store.queue("w2").claim(1)
    assert again.plan == {"as_of": "2026-11-16"}
    assert await store.queue().chunks(uuid(1)) == [
        ChunkProgress(0, Step.EXECUTE_ETS, 2, done=False),
        ChunkProgress(1, Step.EXECUTE_CROSTON_TSB, 1, done=True),
    ]
    assert await store.queue().chunk_products(uuid(1), 0) == (planned("a"), planned("b"))
    async with store.queue("w2").fenced(again.lease) as work:
        assert await work.summaries() == [{"rows": 4}]


async def test_database_that_is_away_is_a_transient_error(store: Store) -> None:
    """Every method turns a lost connection into TransientError, so that callers retry."""
    claim = await store.claimed()
    queue = store.queue()
    await store.database.dispose()
    event.listen(store.database.engine.sync_engine, "do_connect", _refuse_connection)
    with pytest.raises(TransientError):
        await queue.claim(1)
    with pytest.raises(TransientError):
        await queue.extend([claim.lease])
    with pytest.raises(TransientError):
        async with queue.fenced(claim.lease):
            pass


def _refuse_connection(*_: object) -> None:
    raise ConnectionRefusedError(111, "refused")


async def test_fence_refuses_an_unknown_execution(store: Store) -> None:
    """There is nothing to write for an execution that was never claimed."""
    await store.command()
    with pytest.raises(LeaseLostError):
        async with store.queue().fenced(Lease(uuid(1), 0)):
            pass


async def test_claim_begins_what_it_takes(store: Store) -> None:
    """All claimed executions stand EXECUTANDO, in the transaction of the claim; their first step is not told yet."""
    for number in (1, 2):
        await store.command(number)
    store.committed.clear()
    claims = await store.queue().claim(2)
    assert [claim.begun for claim in claims] == [True, True]
    assert await store.rows("SELECT id, status::text, started_at FROM execucao_planejamento ORDER BY 1") == [
        (uuid(1), "EXECUTANDO", at(0)),
        (uuid(2), "EXECUTANDO", at(0)),
    ]
    assert await store.rows("SELECT execucao_id FROM execucao_step_log") == []
    assert await store.events("forecast.step-log") == []
    assert [state[:2] for state in (await store.row(2))["steps"].values()] == [["RUNNING", at(0).isoformat()]]
    assert [one["status"] for one in await store.events() if one["execucao_id"] == uuid(2)] == [
        "PENDENTE",
        "EXECUTANDO",
    ]
    tables = ("forecast_consumer.command", "execucao_planejamento")
    assert len({one for table in tables for one in await store.rows(f"SELECT xmin::text FROM {table}")}) == 1
    assert sorted(one.execucao_id for one in store.committed) == [uuid(1), uuid(2)]


async def test_late_and_cancelled_executions_do_not_begin(store: Store) -> None:
    """What is past its deadline, was cancelled or has had its attempts is claimed as it stands, to be ended."""
    await store.command(1, headers={"ce_expirytime": "2020-01-01T00:00:00Z"})
    for number in (2, 3):
        await store.command(number)
    await store.execute("UPDATE forecast_consumer.command SET attempt = 5 WHERE execucao_id = :id", id=uuid(2))
    await store.execute("UPDATE forecast_consumer.command SET cancel_reason = 'x' WHERE execucao_id = :id", id=uuid(3))
    assert [claim.begun for claim in await store.queue().claim(3)] == [False, False, False]
    assert [await store.status(uuid(number)) for number in (1, 2, 3)] == ["PENDENTE"] * 3


async def test_execution_that_cannot_begin_holds_up_no_other(store: Store) -> None:
    """If one of the claimed cannot be begun none is: all are claimed, and each is begun by who runs it."""
    for number in (1, 2):
        await store.command(number)
    steps = {"1": ["COMPLETED", "2026-11-23T12:00:00Z", "2026-11-23T12:00:01Z", 3, None, None, 99]}  # no such row
    sql = "UPDATE forecast_consumer.command SET steps = cast(:steps AS jsonb) WHERE execucao_id = :id"
    await store.execute(sql, steps=json.dumps(steps), id=uuid(1))
    claims = await store.queue().claim(2)
    assert [(claim.attempt, claim.begun) for claim in claims] == [(1, False), (1, False)]
    async with store.queue().fenced(claims[1].lease) as work:
        work.execution.set_out(at(1), planned=False)
    assert await store.status(uuid(2)) == "EXECUTANDO"
