from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import pytest

from consumer.db.repositories.forecast_repo import write_down
from consumer.errors import LeaseLostError
from consumer.forecasting.champion import TrainedModel
from consumer.ports.fenced import ResultRows
from consumer.steps import Step
from schemas.enums import ErrorCode, StatusExecucao
from tests.builders import at, forecasts, metric, planned_chunk, uuid

if TYPE_CHECKING:
    from consumer.ports.fenced import FencedWork
    from consumer.ports.queue import Claim
    from tests.integration.core.store import Store


async def test_everything_of_a_transaction_is_saved_together(store: Store) -> None:
    """Step logs, the backend's row, the counters and the outbox carry the number of one transaction."""
    claim = await store.claimed()
    async with store.queue().fenced(claim.lease) as work:
        work.execution.complete_step(Step.LOAD_DATA, at(2), records=7, details={"a": 1})
        work.execution.finish(StatusExecucao.CONCLUIDO, at(3), resumo={"products": 7})
    assert await store.rows(
        "SELECT step_name, step_order, status, records_processed, duration_ms, details FROM execucao_step_log"
    ) == [("load_data", 1, "COMPLETED", 7, 2000, {"a": 1})]
    assert await store.rows("SELECT status::text, resultado_resumo, error_message FROM execucao_planejamento") == [
        ("CONCLUIDO", {"products": 7}, None)
    ]
    row = await store.row()
    assert (row["state"], row["status_sequence"], row["step_sequence"], row["lease_until"]) == ("done", 3, 1, None)
    assert [one["sequence"] for one in await store.events()] == [1, 2, 3]
    assert [one["sequence"] for one in await store.events("forecast.step-log")] == [1]
    tables = ("execucao_planejamento", "execucao_step_log", "forecast_consumer.command")
    numbers = {one for table in tables for one in await store.rows(f"SELECT xmin::text FROM {table}")}
    newest = await store.rows("SELECT xmin::text FROM forecast_consumer.outbox ORDER BY id DESC LIMIT 1")
    assert numbers == set(newest)


async def test_failing_transaction_saves_nothing(store: Store) -> None:
    """An error inside the fence leaves row, steps, results, counters and events as they were."""
    await store.seed.products("p1")
    claim = await store.claimed()
    before = await store.row()

    async def fail_late() -> None:
        async with store.queue().fenced(claim.lease) as work:
            await work.replace_results(await write_down(uuid(1), 2, forecasts(["p1"])))
            work.execution.complete_step(Step.LOAD_DATA, at(2))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_late()
    assert await store.row() == before
    assert await store.rows("SELECT status FROM execucao_step_log") == []
    assert await store.scalar("SELECT count(*) FROM forecast_resultado") == 0
    assert len(await store.messages()) == 2


async def test_committed_is_told_after_a_commit_only(store: Store) -> None:
    """Whoever wakes the relay hears of committed changes, never of those that were rolled back."""
    claim = await store.claimed()
    store.committed.clear()
    with pytest.raises(ZeroDivisionError):
        async with store.queue().fenced(claim.lease):
            raise ZeroDivisionError
    assert store.committed == []
    async with store.queue().fenced(claim.lease) as work:
        work.execution.report(Step.LOAD_DATA, at(1))
    assert [one.execucao_id for one in store.committed] == [uuid(1)]


async def test_zombies_write_is_refused_and_nothing_of_it_is_stored(store: Store) -> None:
    """A worker whose lease was taken over gets LeaseLostError before it can write anything."""
    await store.seed.products("p1")
    old = await store.claimed()
    await store.expire_leases()
    [new] = await store.queue("w2").claim(1)
    before = (await store.row(), await store.messages())

    async def write() -> None:
        async with store.queue().fenced(old.lease) as work:
            await work.replace_results(await write_down(uuid(1), 2, forecasts(["p1"])))
            work.execution.finish(StatusExecucao.CONCLUIDO, at(9), resumo={})

    with pytest.raises(LeaseLostError, match="epoch 1"):
        await write()
    assert (await store.row(), await store.messages()) == before
    assert await store.scalar("SELECT count(*) FROM forecast_resultado") == 0
    async with store.queue("w2").fenced(new.lease) as work:
        assert work.execution.attempt == 2


async def test_ended_execution_takes_no_more_writes(store: Store) -> None:
    """After the terminal state even the holder of the newest lease is refused."""
    claim = await store.claimed()
    async with store.queue().fenced(claim.lease) as work:
        work.execution.finish(StatusExecucao.ERRO, at(1), error=(ErrorCode.INTERNAL, "broke"))
    with pytest.raises(LeaseLostError):
        async with store.queue().fenced(claim.lease):
            pass
    assert await store.status(uuid(1)) == "ERRO"


async def test_resumed_execution_goes_on_where_the_row_stands(store: Store) -> None:
    """Steps, counters and sequences come back from the row, and a step goes on in its one log row."""
    claim = await store.claimed()
    async with store.queue().fenced(claim.lease) as work:
        work.execution.products_total = 10
        work.execution.start_step(Step.EXECUTE_ETS, at(2), products_total=10)
        work.execution.count_products(Step.EXECUTE_ETS, 4)
    await store.expire_leases()
    [again] = await store.queue("w2").claim(1)
    async with store.queue("w2").fenced(again.lease) as work:
        made = work.execution
        assert (made.status, made.attempt, made.products_processed, made.products_total) == ("EXECUTANDO", 2, 4, 10)
        made.start_step(Step.EXECUTE_ETS, at(60), products_total=10)
        made.count_products(Step.EXECUTE_ETS, 6)
        made.complete_step(Step.EXECUTE_ETS, at(62))
    found = await store.rows(
        "SELECT status, records_processed, duration_ms FROM execucao_step_log WHERE step_order = 4"
    )
    assert found == [("COMPLETED", 10, 60_000)]
    assert [one["sequence"] for one in await store.events("forecast.step-log")] == [1, 2]


async def test_step_with_a_row_is_logged_with_everything_else(store: Store) -> None:
    """What a running execution commits again and again takes the lock and one statement, whatever steps it moves."""
    claim = await store.claimed()
    async with store.queue().fenced(claim.lease) as work:
        work.execution.start_step(Step.SEGMENT_SKUS, at(1))
        work.execution.start_step(Step.EXECUTE_ETS, at(2), products_total=10)
    with store.statements() as said:
        async with store.queue().fenced(claim.lease) as work:
            work.execution.complete_step(Step.SEGMENT_SKUS, at(3), records=7)
            work.execution.count_products(Step.EXECUTE_ETS, 4)
    assert len(said) == 2
    logged = "SELECT step_order, status, records_processed FROM execucao_step_log WHERE step_order > 1 ORDER BY 1"
    assert await store.rows(logged) == [(2, "COMPLETED", 7), (4, "RUNNING", 4)]


async def test_step_whose_row_was_deleted_is_told(store: Store) -> None:
    """A step log that somebody removed fails the transaction with its id; the events in it are not sent."""
    claim = await store.claimed()
    async with store.queue().fenced(claim.lease) as work:
        work.execution.start_step(Step.EXECUTE_ETS, at(2), products_total=10)
    before = await store.messages()
    log_id = await store.scalar("SELECT id FROM execucao_step_log WHERE step_order = 4")
    await store.execute("DELETE FROM execucao_step_log")

    async def complete() -> None:
        async with store.queue().fenced(claim.lease) as work:
            work.execution.complete_step(Step.EXECUTE_ETS, at(3))

    with pytest.raises(LookupError, match=rf"\[{log_id}\]"):
        await complete()
    assert await store.messages() == before


async def test_silent_count_is_saved_without_an_event(store: Store) -> None:
    """Counting products moves the step's row and the counters, and tells nobody."""
    claim = await store.claimed()
    before = len(await store.messages())
    async with store.queue().fenced(claim.lease) as work:
        work.execution.count_products(Step.LOAD_DATA, 3)
    assert len(await store.messages()) == before
    assert await store.scalar("SELECT records_processed FROM execucao_step_log") == 3
    assert (await store.row())["products_processed"] == 3


async def test_results_written_again_stay_one_row_each(store: Store) -> None:
    """A chunk that is computed again replaces its rows: one per product, week and target, the newest numbers."""
    await store.seed.products("p1", "p2")
    claim = await store.claimed()
    for level in (10.0, 20.0):
        async with store.queue().fenced(claim.lease) as work:
            assert await work.replace_results(await write_down(uuid(1), 2, forecasts(["p1", "p2"], level=level))) == 8
    counted = await store.rows(
        "SELECT produto_id, periodo, target_type, count(*), min(p10)::float FROM forecast_resultado GROUP BY 1, 2, 3"
    )
    assert len(counted) == 8
    assert {row[3] for row in counted} == {1}
    assert {row[4] for row in counted if row[2] == "VOLUME"} == {20.0}
    async with store.queue().fenced(claim.lease) as work:
        assert await work.count_results() == 8
        assert await work.replace_results(ResultRows()) == 0


async def test_metric_that_the_column_cannot_hold_becomes_null(store: Store) -> None:
    """Errors beyond the column's range or not finite are stored as NULL and counted, again and again as one row."""
    await store.seed.products("p1", "p2")
    claim = await store.claimed()
    for _ in range(2):
        async with store.queue().fenced(claim.lease) as work:
            assert await work.replace_metrics([metric("p1", 123_456.0), metric("p2", math.inf)]) == 2
            assert await work.replace_metrics([]) == 0
    assert await store.rows("SELECT produto_id, mape FROM forecast_metrica ORDER BY 1") == [("p1", None), ("p2", None)]


async def test_champion_is_replaced_in_the_same_transaction(store: Store) -> None:
    """A promoted model gets the next version and takes the old champion's place, whose error was readable."""
    claim = await store.claimed()
    async with store.queue().fenced(claim.lease) as work:
        assert await work.champion("ETS") is None
        first = await work.add_model(_model(0.3), {"promoted": True}, champion=True)
        second = await work.add_model(_model(0.2), {"promoted": True}, champion=True)
        third = await work.add_model(_model(0.9), {"promoted": False}, champion=False)
        best = await work.champion("ETS")
    assert (first, second, third) == (1, 2, 3)
    assert best is not None
    assert (best.versao, best.execucao_id, best.arquivo_path) == (2, claim.lease.execucao_id, "models/x/ETS")
    assert (best.error, best.hashes, best.products) == (0.2, {"volume.json": "ab"}, 7)
    assert [row[0] for row in await store.rows("SELECT metricas_treino FROM forecast_modelo ORDER BY versao")] == [
        {"wape": wape, "decision": {"promoted": promoted}}
        for wape, promoted in ((0.3, True), (0.2, True), (0.9, False))
    ]
    assert await store.rows("SELECT versao, is_champion FROM forecast_modelo ORDER BY 1") == [
        (1, False),
        (2, True),
        (3, False),
    ]


def _model(wape: float) -> TrainedModel:
    parameters = {"files": {"volume.json": "ab"}, "products": 7}
    return TrainedModel("ETS", parameters, {"wape": wape}, wape, "models/x/ETS")


async def test_champions_of_one_type_are_decided_one_after_the_other(store: Store) -> None:
    """Two trains that end at the same time do not both replace the same champion: the second sees the first's."""
    claims = [await store.claimed(number) for number in (1, 2)]
    seen: list[int | None] = []

    async def end(claim: Claim) -> None:
        async with store.queue().fenced(claim.lease) as work:
            before = await work.champion("ETS")
            seen.append(None if before is None else before.versao)
            await asyncio.sleep(0.05)
            await work.add_model(_model(0.3), {}, champion=True)

    await asyncio.gather(*(end(claim) for claim in claims))
    assert seen == [None, 1]


async def test_summaries_come_in_the_order_of_the_chunks(store: Store) -> None:
    """However the chunks were finished, their summaries are added up in one order."""
    claim = await store.claimed()
    async with store.queue().fenced(claim.lease) as work:
        await work.save_plan({}, [planned_chunk(number, f"p{number}") for number in range(3)])
        for number in (2, 0, 1):
            await work.save_chunk(number, {"number": number})
        assert [one["number"] for one in await work.summaries()] == [0, 1, 2]
        assert [one["number"] for one in await work.summaries(Step.EXECUTE_ETS)] == [0, 1, 2]
        assert await work.summaries(Step.EXECUTE_TFT) == []


async def test_several_executions_are_one_transaction(store: Store) -> None:
    """What is written together carries the number of one transaction, in every table, and each execution its own."""
    claims = [await store.claimed(number) for number in (2, 1)]
    queue = store.queue()
    held = asyncio.Event()

    async def first(work: FencedWork) -> None:
        await held.wait()
        work.execution.report(Step.LOAD_DATA, at(1))

    async def end(work: FencedWork) -> None:
        work.execution.complete_step(Step.LOAD_DATA, at(2), records=int(work.execution.execucao_id[-1]))
        work.execution.finish(StatusExecucao.CONCLUIDO, at(3), resumo={"of": work.execution.execucao_id})

    waits = await store.claimed(3)
    writes = [asyncio.create_task(queue.write(waits.lease, first))]
    await asyncio.sleep(0)
    writes += [asyncio.create_task(queue.write(claim.lease, end)) for claim in claims]
    await asyncio.sleep(0)
    held.set()
    await asyncio.gather(*writes)
    ended = "SELECT DISTINCT xmin::text FROM {} WHERE {}"
    numbers = await store.rows(ended.format("forecast_consumer.command", "state = 'done'"))
    assert len(numbers) == 1
    assert await store.rows(ended.format("execucao_planejamento", "status = 'CONCLUIDO'")) == numbers
    assert await store.rows(ended.format("execucao_step_log", "status = 'COMPLETED'")) == numbers
    kept = "SELECT execucao_id, records_processed FROM execucao_step_log WHERE status = 'COMPLETED' ORDER BY 1"
    assert await store.rows(kept) == [(uuid(1), 1), (uuid(2), 2)]
    resumos = await store.rows("SELECT id, resultado_resumo FROM execucao_planejamento WHERE status = 'CONCLUIDO'")
    assert {name: resumo["of"] for name, resumo in resumos} == {uuid(1): uuid(1), uuid(2): uuid(2)}
    assert [one["sequence"] for one in await store.events() if one["execucao_id"] == uuid(2)] == [1, 2, 3]


async def test_lost_lease_among_others_is_refused_alone(store: Store) -> None:
    """Of several that are written together the zombie's is refused, the others are committed."""
    zombie = await store.claimed(1)
    await store.expire_leases()
    await store.queue("w2").claim(1)
    claim = await store.claimed(2)
    queue = store.queue()

    async def end(work: FencedWork) -> None:
        work.execution.finish(StatusExecucao.CONCLUIDO, at(3), resumo={})

    lost, written = await asyncio.gather(
        queue.write(zombie.lease, end), queue.write(claim.lease, end), return_exceptions=True
    )
    assert isinstance(lost, LeaseLostError)
    assert written is None
    assert (await store.status(uuid(1)), await store.status(uuid(2))) == ("EXECUTANDO", "CONCLUIDO")
