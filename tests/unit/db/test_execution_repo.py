from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from consumer.db.models import ExecucaoPlanejamento
from consumer.db.repositories.execution_repo import ExecutionExistsError, ExecutionRepository, NotDeletableError
from consumer.db.repositories.records import NewExecution, StepLogRow
from schemas.enums import GatilhoExecucao, StatusExecucao, TipoExecucao
from tests.unit.db.sessions import session_answering, sql_of

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def new(execucao_id: str, **values: Any) -> NewExecution:
    return NewExecution(execucao_id, TipoExecucao.FORECAST, GatilhoExecucao.MANUAL, **values)


def stored(status: StatusExecucao = StatusExecucao.CONCLUIDO, **values: Any) -> ExecucaoPlanejamento:
    return ExecucaoPlanejamento(
        id="run", tipo=TipoExecucao.FORECAST, status=status, gatilho=GatilhoExecucao.MANUAL, created_at=NOON, **values
    )


def step(order: int, log_id: int | None = None, **values: Any) -> StepLogRow:
    return StepLogRow("run", f"step {order}", order, "RUNNING", id=log_id, **values)


async def test_many_executions_are_one_statement() -> None:
    """Every column is one array, JSON as text; what the database inserted comes back."""
    session = session_answering(scalars=["a"])
    batch = [new("a", parametros={"x": 1}, created_by="ana"), new("b")]
    assert await ExecutionRepository(session).insert_many(batch) == {"a"}
    assert session.scalars.await_count == 1
    assert session.scalars.await_args.args[1] == {
        "id": ["a", "b"],
        "tipo": ["FORECAST", "FORECAST"],
        "status": ["PENDENTE", "PENDENTE"],
        "gatilho": ["MANUAL", "MANUAL"],
        "parametros": ['{"x":1}', None],
        "created_by": ["ana", None],
    }


async def test_no_executions_are_no_statement() -> None:
    """An empty batch does not reach the database."""
    session = session_answering()
    assert await ExecutionRepository(session).insert_many([]) == set()
    session.scalars.assert_not_awaited()


async def test_taken_id_is_refused() -> None:
    """An insert that inserted nothing means that the id is taken."""
    with pytest.raises(ExecutionExistsError, match="run"):
        await ExecutionRepository(session_answering()).create(new("run"))
    await ExecutionRepository(session_answering(scalars=["run"])).create(new("run"))


async def test_execution_is_read_as_a_record() -> None:
    """What leaves the repository is a record with the row's values, or None."""
    record = await ExecutionRepository(session_answering(scalars=[stored(error_message="no")])).get("run")
    assert record is not None
    assert (record.id, record.status, record.error_message, record.created_at) == (
        "run",
        StatusExecucao.CONCLUIDO,
        "no",
        NOON,
    )
    assert await ExecutionRepository(session_answering()).get("run") is None


async def test_list_filters_are_only_those_given() -> None:
    """Each filter is a condition when given and none when not."""
    session = session_answering(scalars=[stored()])
    repository = ExecutionRepository(session)
    assert [record.id for record in await repository.list_executions()] == ["run"]
    await repository.list_executions(tipo=TipoExecucao.MRP, status=StatusExecucao.ERRO, limit=2)
    plain, filtered = (sql_of(call) for call in session.scalars.await_args_list)
    assert "WHERE" not in plain
    assert "created_at DESC" in plain
    assert "tipo = 'MRP' AND execucao_planejamento.status = 'ERRO'" in filtered
    assert "LIMIT 2" in filtered


async def test_update_sets_what_is_given_where_not_ended() -> None:
    """Only the fields given are set, only in a row that has not ended, and NUL is taken out of messages."""
    session = session_answering(scalars=["run"])
    assert await ExecutionRepository(session).update("run", status=StatusExecucao.ERRO, error_message="a\0b")
    statement, given = session.scalars.await_args.args
    assert "status IN ('PENDENTE', 'EXECUTANDO')" in str(statement)
    assert {name: value for name, [value] in given.items() if value is not None} == {
        "change_id": "run",
        "change_status": "ERRO",
        "change_error_message": "ab",
    }


async def test_update_that_hits_no_row_is_false() -> None:
    """An unknown or ended execution is not updated; a call without any change is a mistake."""
    repository = ExecutionRepository(session_answering())
    assert not await repository.update("run", resultado_resumo={"a": 1})
    with pytest.raises(ValueError, match="resultado_resumo"):
        await repository.update("run")


async def test_unknown_execution_is_not_deleted() -> None:
    """Deleting what does not exist does nothing."""
    session = session_answering()
    assert not await ExecutionRepository(session).delete("run")
    session.execute.assert_not_awaited()


@pytest.mark.parametrize("row", [stored(StatusExecucao.EXECUTANDO), stored(StatusExecucao.PENDENTE, started_at=NOON)])
async def test_execution_under_way_is_not_deleted(row: ExecucaoPlanejamento) -> None:
    """What has begun and not ended cannot be deleted."""
    with pytest.raises(NotDeletableError, match="cancel"):
        await ExecutionRepository(session_answering(get=row)).delete("run", cascade=True)


@pytest.mark.parametrize(
    ("counts", "cascade", "reason"),
    [
        ((2, 0, 5, 0, None), False, "2 step logs, 5 metrics"),
        ((0, 0, 0, 1, "ETS"), True, "champion of ETS"),
    ],
)
async def test_rows_that_stand_in_the_way_are_named(
    counts: tuple[Any, ...],
    cascade: bool,  # noqa: FBT001 - a case of the table above
    reason: str,
) -> None:
    """The refusal says what refers to the execution, and nothing is deleted."""
    session = session_answering(get=stored(), rows=[counts])
    with pytest.raises(NotDeletableError, match=reason):
        await ExecutionRepository(session).delete("run", cascade=cascade)
    assert not [call for call in session.execute.await_args_list if sql_of(call).startswith("DELETE")]


@pytest.mark.parametrize(("cascade", "tables"), [(False, 1), (True, 5)])
async def test_execution_is_deleted_last(cascade: bool, tables: int) -> None:  # noqa: FBT001 - a case of the table
    """With cascade the rows that refer to it go first, without it only the execution itself."""
    session = session_answering(get=stored(), rows=[(0, 0, 0, 0, None)])
    assert await ExecutionRepository(session).delete("run", cascade=cascade)
    deleted = [sql for call in session.execute.await_args_list if (sql := sql_of(call)).startswith("DELETE")]
    assert len(deleted) == tables
    assert deleted[-1] == "DELETE FROM execucao_planejamento WHERE execucao_planejamento.id = 'run'"


async def test_locks_are_taken_in_the_order_of_ids() -> None:
    """Ordered locks cannot deadlock; statuses come back as the enum."""
    session = session_answering(rows=[("a", "PENDENTE")])
    assert await ExecutionRepository(session).lock_many(["b", "a"]) == {"a": StatusExecucao.PENDENTE}
    assert "ORDER BY id FOR UPDATE" in str(session.execute.await_args.args[0])


async def test_existing_users_are_a_set() -> None:
    """The users found are told as a set."""
    assert await ExecutionRepository(session_answering(scalars=["ana"])).existing_users(["ana", "rui"]) == {"ana"}


async def test_new_and_known_steps_are_one_statement_each() -> None:
    """However many rows: one insert, one update, ids in the order given whatever order they came back in."""
    session = session_answering(rows=[(12, "run", 3), (11, "run", 1)], scalars=[7])
    rows = [step(1), step(2, 7, details={"a": 1}), step(3)]
    assert await ExecutionRepository(session).write_step_logs(rows) == [11, 7, 12]
    assert session.execute.await_count == session.scalars.await_count == 1
    assert session.execute.await_args.args[1]["step_order"] == [1, 3]
    assert session.scalars.await_args.args[1]["log_id"] == [7]
    assert session.scalars.await_args.args[1]["log_details"] == ['{"a":1}']


async def test_unknown_step_row_is_named() -> None:
    """An id that the update did not hit is told."""
    with pytest.raises(LookupError, match=r"\[8\]"):
        await ExecutionRepository(session_answering(scalars=[7])).write_step_logs([step(1, 7), step(2, 8)])


async def test_details_that_are_no_json_are_refused() -> None:
    """NaN in a step's details fails here, not in the database."""
    with pytest.raises(ValueError, match="JSON"):
        await ExecutionRepository(session_answering()).write_step_logs([step(1, details={"a": float("nan")})])


async def test_same_new_step_twice_is_refused() -> None:
    """Two new rows of one step could not be told apart."""
    session = session_answering()
    with pytest.raises(ValueError, match="same step"):
        await ExecutionRepository(session).write_step_logs([step(1), step(1)])
    session.execute.assert_not_awaited()


async def test_step_logs_are_read_as_rows() -> None:
    """Each column lands in its field."""
    row = ("run", "load_data", 1, "COMPLETED", 5, 10, 20, {"a": 1}, NOON, NOON)
    [found] = await ExecutionRepository(session_answering(rows=[row])).step_logs("run")
    assert (found.id, found.records_processed, found.duration_ms, found.details) == (5, 10, 20, {"a": 1})
