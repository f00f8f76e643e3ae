from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.exc import DBAPIError

from consumer.db.repositories.execution_repo import ExecutionExistsError, ExecutionRepository, NotDeletableError
from consumer.db.repositories.records import ExecutionChange, NewExecution, StepLogRow
from schemas.enums import GatilhoExecucao, StatusExecucao, TipoExecucao

if TYPE_CHECKING:
    from consumer.db.database import Database
    from tests.integration.db.seed import Seed

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
TERMINAL = (StatusExecucao.CONCLUIDO, StatusExecucao.PARCIAL, StatusExecucao.ERRO)


def new(execucao_id: str, **values: Any) -> NewExecution:
    return NewExecution(execucao_id, TipoExecucao.FORECAST, GatilhoExecucao.MANUAL, **values)


def step(execucao_id: str, order: int, status: str = "RUNNING", **values: Any) -> StepLogRow:
    return StepLogRow(execucao_id, f"step {order}", order, status, **values)


async def call(database: Database, method: str, *arguments: Any, **named: Any) -> Any:
    """One method of the repository in a transaction of its own."""
    async with database.transaction() as session:
        return await getattr(ExecutionRepository(session), method)(*arguments, **named)


async def test_execution_is_read_as_it_was_created(database: Database, seed: Seed) -> None:
    """Everything given is stored; what the table decides (times, creation) is filled in."""
    await seed.users("ana")
    await call(database, "create", new("run", parametros={"horizonte": 13, "á": "ç"}, created_by="ana"))
    found = await call(database, "get", "run")
    assert (found.id, found.tipo, found.gatilho, found.status) == ("run", "FORECAST", "MANUAL", "PENDENTE")
    assert (found.parametros, found.created_by) == ({"horizonte": 13, "á": "ç"}, "ana")
    assert (found.started_at, found.completed_at, found.resultado_resumo) == (None, None, None)
    assert found.created_at.utcoffset().total_seconds() == 0


async def test_absent_execution_is_none(database: Database) -> None:
    """Reading what does not exist gives None."""
    assert await call(database, "get", "nothing") is None


async def test_id_cannot_be_created_twice(database: Database) -> None:
    """A second execution of the same id is refused."""
    await call(database, "create", new("run"))
    with pytest.raises(ExecutionExistsError, match="execution run exists already"):
        await call(database, "create", new("run"))


async def test_bulk_insert_leaves_out_ids_that_are_taken(database: Database) -> None:
    """Executions whose id is taken, by the table or by one before them, are left out; the others are inserted."""
    await call(database, "create", new("taken", parametros={"by": "backend"}))
    batch = [new("one"), new("taken"), new("two"), new("one")]
    assert await call(database, "insert_many", batch) == {"one", "two"}
    assert await call(database, "insert_many", []) == set()
    assert (await call(database, "get", "taken")).parametros == {"by": "backend"}


async def test_executions_are_listed_newest_first(database: Database) -> None:
    """Lists begin with the newest and are filtered by type, status and number."""
    for name in ("first", "second"):
        await call(database, "create", new(name))
    await call(database, "create", NewExecution("mrp", TipoExecucao.MRP, GatilhoExecucao.AGENDADO))
    await call(database, "update", "first", status=StatusExecucao.EXECUTANDO)

    async def listed(**filters: Any) -> list[str]:
        return [record.id for record in await call(database, "list_executions", **filters)]

    assert await listed() == ["mrp", "second", "first"]
    assert await listed(limit=1) == ["mrp"]
    assert await listed(tipo=TipoExecucao.FORECAST) == ["second", "first"]
    assert await listed(status=StatusExecucao.EXECUTANDO) == ["first"]
    assert await listed(tipo=TipoExecucao.MRP, status=StatusExecucao.EXECUTANDO) == []


async def test_update_changes_what_is_given_alone(database: Database) -> None:
    """Fields that are not given keep their values."""
    await call(database, "create", new("run", parametros={"kept": 1}))
    assert await call(database, "update", "run", status=StatusExecucao.EXECUTANDO, started_at=NOON)
    assert await call(database, "update", "run", resultado_resumo={"products": 3}, error_message="a\0b")
    found = await call(database, "get", "run")
    assert (found.status, found.started_at, found.parametros) == ("EXECUTANDO", NOON, {"kept": 1})
    assert (found.resultado_resumo, found.error_message, found.completed_at) == ({"products": 3}, "ab", None)


@pytest.mark.parametrize("end", TERMINAL)
async def test_terminal_execution_never_changes(database: Database, end: StatusExecucao) -> None:
    """An execution that has ended refuses every update."""
    await call(database, "create", new("run"))
    assert await call(database, "update", "run", status=end, completed_at=NOON)
    before = await call(database, "get", "run")
    assert not await call(database, "update", "run", status=StatusExecucao.EXECUTANDO)
    assert not await call(database, "update", "run", error_message="late")
    assert await call(database, "get", "run") == before


async def test_changes_of_many_are_those_of_each(database: Database) -> None:
    """One statement changes what is given of each execution; what has ended or is not there is left out."""
    await call(database, "insert_many", [new("a"), new("b"), new("ended")])
    await call(database, "update", "ended", status=StatusExecucao.ERRO, completed_at=NOON)
    begun = ExecutionChange("b", StatusExecucao.EXECUTANDO, started_at=NOON)
    done = ExecutionChange(
        "a", StatusExecucao.PARCIAL, completed_at=NOON, resultado_resumo={"n": 1}, error_message="a\0b"
    )
    others = [ExecutionChange(name, StatusExecucao.CONCLUIDO) for name in ("ended", "nobody")]
    assert await call(database, "change_many", [begun, done, *others]) == {"a", "b"}
    assert await call(database, "change_many", [ExecutionChange("b", error_message="late")]) == {"b"}
    first, second, third = [await call(database, "get", name) for name in ("a", "b", "ended")]
    assert (first.status, first.started_at, first.completed_at) == (StatusExecucao.PARCIAL, None, NOON)
    assert (first.resultado_resumo, first.error_message) == ({"n": 1}, "ab")
    assert (second.status, second.started_at, second.completed_at) == (StatusExecucao.EXECUTANDO, NOON, None)
    assert (second.error_message, third.status) == ("late", StatusExecucao.ERRO)
    assert await call(database, "change_many", []) == set()


async def test_update_of_nothing_or_nobody(database: Database) -> None:
    """An unknown execution is told from a call without any change."""
    assert not await call(database, "update", "nothing", error_message="x")
    with pytest.raises(ValueError, match="nothing to update"):
        await call(database, "update", "nothing")


async def test_execution_that_never_began_is_deleted(database: Database) -> None:
    """PENDENTE and ended executions can be deleted; the second time there is nothing to delete."""
    await call(database, "create", new("run"))
    assert await call(database, "delete", "run")
    assert not await call(database, "delete", "run")
    assert await call(database, "get", "run") is None


@pytest.mark.parametrize(
    "changes",
    [{"status": StatusExecucao.EXECUTANDO}, {"started_at": NOON}],
    ids=["running", "waiting for its next attempt"],
)
async def test_execution_under_way_is_not_deleted(database: Database, changes: dict[str, Any]) -> None:
    """What has begun and not ended stays, cascade or not."""
    await call(database, "create", new("run"))
    await call(database, "update", "run", **changes)
    with pytest.raises(NotDeletableError, match="cancel it first"):
        await call(database, "delete", "run", cascade=True)


async def test_execution_with_rows_is_deleted_by_cascade_alone(database: Database, seed: Seed) -> None:
    """Rows that refer to an execution are counted in the refusal, and go with it when asked to."""
    await seed.execution("run", status=StatusExecucao.CONCLUIDO)
    await seed.execution("other", status=StatusExecucao.CONCLUIDO)
    await seed.model("m1", "run", "ETS", 1)
    await seed.model("m2", "other", "ETS", 2)
    await call(database, "write_step_logs", [step("run", 1), step("run", 2), step("other", 1)])
    with pytest.raises(NotDeletableError, match="2 step logs, 1 models"):
        await call(database, "delete", "run")
    assert await call(database, "delete", "run", cascade=True)
    assert await seed.rows("SELECT id FROM forecast_modelo") == [("m2",)]
    assert await seed.rows("SELECT execucao_id FROM execucao_step_log") == [("other",)]


async def test_execution_of_a_champion_is_not_deleted(database: Database, seed: Seed) -> None:
    """A model that forecasts are made with cannot go with its execution."""
    await seed.execution("run", status=StatusExecucao.CONCLUIDO)
    await seed.model("m1", "run", "ETS", 1, champion=True)
    with pytest.raises(NotDeletableError, match="champion of ETS"):
        await call(database, "delete", "run", cascade=True)


async def test_locks_tell_the_status_and_hold(database: Database) -> None:
    """Locked executions are known by status; another transaction that wants one waits until the first has ended."""
    await call(database, "create", new("a"))
    await call(database, "create", new("b"))
    async with database.transaction() as session:
        statuses = await ExecutionRepository(session).lock_many(["b", "nothing", "a"])
        assert statuses == {"a": StatusExecucao.PENDENTE, "b": StatusExecucao.PENDENTE}
        other = asyncio.create_task(call(database, "lock_many", ["a"]))
        done, _ = await asyncio.wait([other], timeout=0.2)
        assert not done
        await ExecutionRepository(session).update("a", status=StatusExecucao.ERRO)
    assert await other == {"a": StatusExecucao.ERRO}


async def test_opposite_locks_do_not_deadlock(database: Database) -> None:
    """Transactions that lock the same rows in opposite orders of asking take turns."""
    ids = [f"run {number:02}" for number in range(30)]
    await call(database, "insert_many", [new(execucao_id) for execucao_id in ids])
    orders = [ids, ids[::-1]] * 5
    assert [
        len(found) for found in await asyncio.gather(*(call(database, "lock_many", order) for order in orders))
    ] == [30] * 10


async def test_known_users_are_told_from_unknown_ones(database: Database, seed: Seed) -> None:
    """Only ids that a user has come back."""
    await seed.users("ana", "rui")
    assert await call(database, "existing_users", ["ana", "nobody"]) == {"ana"}
    assert await call(database, "existing_users", []) == set()


async def test_unknown_user_fails_the_insert(database: Database) -> None:
    """The foreign key stands behind existing_users."""
    with pytest.raises(DBAPIError, match="created_by"):
        await call(database, "insert_many", [new("run", created_by="nobody")])


async def test_step_logs_are_inserted_and_updated_together(database: Database, seed: Seed) -> None:
    """New rows get ids, known rows are changed in place; ids come back in the order given."""
    await seed.execution("run")
    await seed.execution("other")
    first, second = await call(database, "write_step_logs", [step("run", 2), step("run", 1)])
    ended = step(
        "run",
        2,
        "COMPLETED",
        id=first,
        records_processed=7,
        duration_ms=5,
        details={"a": [1]},
        started_at=NOON,
        completed_at=NOON,
    )
    ids = await call(database, "write_step_logs", [step("other", 1), ended, step("run", 3)])
    assert ids[1] == first
    assert await call(database, "step_logs", "run") == [
        step("run", 1, id=second),
        ended,
        step("run", 3, id=ids[2]),
    ]
    assert await call(database, "step_logs", "other") == [step("other", 1, id=ids[0])]


async def test_new_step_cannot_be_given_twice(database: Database, seed: Seed) -> None:
    """Two new rows for one step, whose ids nobody could tell apart, are refused before anything is written."""
    await seed.execution("run")
    with pytest.raises(ValueError, match="same step"):
        await call(database, "write_step_logs", [step("run", 1), step("run", 1)])
    assert await call(database, "step_logs", "run") == []


async def test_step_of_another_execution_is_not_overwritten(database: Database, seed: Seed) -> None:
    """A row id that belongs to another execution, or to none, is refused."""
    await seed.execution("run")
    await seed.execution("other")
    [log_id] = await call(database, "write_step_logs", [step("other", 1)])
    with pytest.raises(LookupError, match=rf"\[{log_id}\]"):
        await call(database, "write_step_logs", [step("run", 1, "FAILED", id=log_id)])
    assert (await call(database, "step_logs", "other"))[0].status == "RUNNING"


async def test_no_step_logs_are_no_statement(database: Database) -> None:
    """An empty list is fine."""
    assert await call(database, "write_step_logs", []) == []
