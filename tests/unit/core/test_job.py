from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from consumer.errors import LeaseLostError, PermanentError, TransientError
from consumer.execution.run import DrainingError
from consumer.forecasting.champion import Champion
from consumer.forecasting.types import ChunkRequest
from schemas.enums import CommandKind, ErrorCode, StatusExecucao, StepStatus
from tests.builders import claim, uuid
from tests.fakes import FakeSales, ManualClock
from tests.unit.core.job_bench import STEADY, Bench

SPARSE = {f"s{number}": [0.0] * 5 + [3.0, 0.0, 0.0, 4.0, 0.0] * 11 for number in range(3)}
TRAIN, PREDICT, BACKTEST = CommandKind.TRAIN, CommandKind.PREDICT, CommandKind.BACKTEST


DONE, SKIPPED = StepStatus.COMPLETED.value, StepStatus.SKIPPED.value


@pytest.mark.parametrize(
    ("kind", "closing"),
    [
        (PREDICT, {7: DONE, 8: SKIPPED, 9: DONE, 10: DONE}),
        (TRAIN, {7: SKIPPED, 8: DONE, 9: SKIPPED, 10: DONE}),
        (BACKTEST, {7: SKIPPED, 8: DONE, 9: SKIPPED, 10: DONE}),
    ],
)
async def test_ten_steps_are_logged_in_order(kind: CommandKind, closing: dict[int, str]) -> None:
    """Each command logs all ten steps in their order, the last status is CONCLUIDO, sequences have no gap."""
    bench = Bench(FakeSales(STEADY | SPARSE))
    await bench.run(bench.queue.add(claim(kind)))
    assert [step for step, _ in bench.steps] == sorted(step for step, _ in bench.steps)
    assert bench.outcome == {1: DONE, 2: DONE, 3: SKIPPED, 4: DONE, 5: DONE, 6: SKIPPED, **closing}
    assert [event.sequence for event in bench.statuses] == list(range(1, len(bench.statuses) + 1))
    assert bench.statuses[-1].status is StatusExecucao.CONCLUIDO
    resumo = bench.statuses[-1].resultado_resumo or {}
    assert (resumo["products"], resumo["failed"]["count"], resumo["as_of"]) == (9, 0, "2026-11-16")


async def test_predict_writes_volume_and_revenue_of_each_product() -> None:
    """A predict leaves the horizon's weeks of every product and counts the rows it wrote."""
    bench = Bench()
    await bench.run(bench.queue.add(claim(data={"horizonte_semanas": 4})))
    assert set(bench.stored.results) == set(STEADY)
    assert {forecast.volume.shape for forecast in bench.stored.results.values()} == {(4, 5)}
    assert (bench.statuses[-1].resultado_resumo or {})["rows"] == 6 * 4 * 2
    assert bench.stored.metrics == {}


async def test_train_stores_a_model_and_promotes_it_over_a_worse_champion() -> None:
    """A train stores a version per family; it becomes champion when it beats the present one."""
    bench = Bench()
    bench.queue.present_champion = Champion("m", 1, uuid(9), 1e6)
    await bench.run(bench.queue.add(claim(TRAIN)))
    assert [(model.tipo_modelo, champion) for model, champion in bench.stored.models] == [("ETS", True)]
    [trained] = (bench.statuses[-1].resultado_resumo or {})["models_trained"]
    assert (trained["versao"], trained["promoted"], trained["champion_wape_before"]) == (1, True, 1e6)
    worse = Bench()
    worse.queue.present_champion = Champion("m", 1, uuid(9), 0.0)
    await worse.run(worse.queue.add(claim(TRAIN)))
    assert [champion for _, champion in worse.stored.models] == [False]


async def test_backtest_stores_metrics_and_no_model() -> None:
    """A backtest leaves metrics of the model and of the moving average, no forecast and no model."""
    bench = Bench()
    await bench.run(bench.queue.add(claim(BACKTEST, {"holdout_weeks": 5})))
    assert set(bench.stored.metrics) == set(STEADY)
    assert (bench.stored.results, bench.stored.models) == ({}, [])
    assert {request.horizon for request in bench.chunks} == {5}


async def test_only_the_products_asked_for_are_computed() -> None:
    """A list of products restricts the execution to it; the answer counts each of them."""
    bench = Bench()
    await bench.run(bench.queue.add(claim(data={"produto_ids": ["p3", "p1"]})))
    assert sorted(bench.stored.results) == ["p1", "p3"]


async def test_resume_computes_only_what_is_not_committed() -> None:
    """After a failure the next attempt uses the stored plan, computes the other chunks alone, same summary."""
    whole = Bench(FakeSales(STEADY | SPARSE))
    await whole.run()
    seen: list[int] = []

    def fail_at_third(request: Any) -> None:
        if isinstance(request, ChunkRequest):
            seen.append(1)
            if len(seen) == 3:
                raise TransientError("a model process died")

    bench = Bench(FakeSales(STEADY | SPARSE), before=fail_at_third)
    first = bench.queue.add(claim())
    with pytest.raises(TransientError):
        await bench.run(first)
    before = len(bench.chunks)
    again = bench.queue.resumed(first)
    assert again.plan is not None
    await bench.run(again)
    computed = [tuple(product.product_id for product in request.products) for request in bench.chunks]
    assert before == 2
    assert len(computed) == len(set(computed)) == len(whole.chunks)
    assert bench.statuses[-1].resultado_resumo == whole.statuses[-1].resultado_resumo
    assert bench.statuses[-1].attempt == 2
    for name, forecast in whole.stored.results.items():
        np.testing.assert_array_equal(bench.stored.results[name].volume, forecast.volume)


@pytest.mark.parametrize(("seconds", "kept"), [(0.0, {1: 1}), (5.0, {1: 1, 2: 2})])
async def test_resume_before_the_plan_logs_each_step_once(seconds: float, kept: dict[int, int]) -> None:
    """An attempt that failed while it chose models starts over; steps it had told, as slow ones are, keep their row."""
    clock = ManualClock()
    bench = Bench(clock=clock)
    overview, profiles = bench.sales.overview, bench.sales.profiles
    failing = [TransientError("database gone")]

    async def slow(ids: Any, until: Any) -> Any:
        clock.seconds += seconds
        return await overview(ids, until)

    async def fail_once(ids: Any) -> Any:
        if failing:
            raise failing.pop()
        return await profiles(ids)

    bench.sales.overview = slow  # type: ignore[method-assign, assignment]  # one slow method in one test
    bench.sales.profiles = fail_once  # type: ignore[method-assign, assignment]  # and one that fails
    first = bench.queue.add(claim())
    with pytest.raises(TransientError):
        await bench.run(first)
    rows = bench.stored.execution.steps
    bench.stored.execution.steps = {step: state.logged(int(step)) for step, state in rows.items()}
    await bench.run(bench.queue.resumed(first))
    logged = {int(step): state.log_id for step, state in bench.stored.execution.steps.items()}
    assert {step: log_id for step, log_id in logged.items() if log_id is not None} == kept
    ended = [state.status for state in bench.stored.execution.steps.values()]
    assert StepStatus.RUNNING not in ended
    assert bench.statuses[-1].status is StatusExecucao.CONCLUIDO


async def test_newer_sales_are_not_seen_by_a_resumed_execution() -> None:
    """What the plan decided stays: as_of, seed and horizon come from it, not from the resumed attempt."""
    bench = Bench(before=lambda _: bench.draining.set())  # while products are classified, before a chunk
    first = bench.queue.add(claim())
    with pytest.raises(DrainingError):
        await bench.run(first)
    bench.draining.clear()
    bench.compute._before = None
    again = bench.queue.resumed(first)
    assert again.plan is not None
    await bench.run(replace(again, plan={**again.plan, "seed": 99, "as_of": "2026-11-09"}))
    assert {(request.seed, request.as_of.isoformat()) for request in bench.chunks} == {(99, "2026-11-09")}


async def test_draining_stops_between_chunks() -> None:
    """When the process shuts down the chunk in flight is committed, no other is begun, the execution is not ended."""
    bench = Bench(before=lambda request: bench.draining.set() if isinstance(request, ChunkRequest) else None)
    with pytest.raises(DrainingError):
        await bench.run()
    assert len(bench.chunks) == len(bench.stored.summaries) == 1
    assert bench.stored.execution.status is StatusExecucao.EXECUTANDO


async def test_draining_after_the_last_chunk_ends_the_execution() -> None:
    """With every chunk committed nothing is left to hand back: the execution is closed."""
    bench = Bench(FakeSales({"p1": STEADY["p1"]}))

    def drain(request: Any) -> None:
        if isinstance(request, ChunkRequest):
            bench.draining.set()

    bench.compute._before = drain
    await bench.run()
    assert bench.statuses[-1].status is StatusExecucao.CONCLUIDO


async def test_failed_products_make_it_parcial() -> None:
    """Products without sales or unknown fail alone, are named with the reason, and the end is PARCIAL."""
    bench = Bench(FakeSales(STEADY, without_sales=["empty"]))
    await bench.run(bench.queue.add(claim(data={"produto_ids": ["p1", "empty", "ghost"]})))
    assert bench.statuses[-1].status is StatusExecucao.PARCIAL
    failed = (bench.statuses[-1].resultado_resumo or {})["failed"]
    assert failed["count"] == 2
    assert {entry["product_id"]: entry["code"] for entry in failed["products"]} == {
        "ghost": "unknown-product",
        "empty": "no-data",
    }
    assert set(bench.stored.results) == {"p1"}


@pytest.mark.parametrize("volumes", [{}, {"other": [1.0] * 20}])
async def test_no_data_ends_in_error_at_once(volumes: dict[str, list[float]]) -> None:
    """Without any sales, or any of the products asked for, no attempt can succeed."""
    bench = Bench(FakeSales(volumes, without_sales=["p1"]))
    with pytest.raises(PermanentError) as caught:
        await bench.run(bench.queue.add(claim(data={"produto_ids": ["p1"]})))
    assert caught.value.code is ErrorCode.NO_DATA


async def test_all_products_failed_is_no_data() -> None:
    """When not one product could be forecast the execution fails and says what the first failed of."""
    bench = Bench(FakeSales({"p1": [float("nan")] * 20, "p2": [float("nan")] * 20}))
    with pytest.raises(PermanentError, match="none of the 2 products") as caught:
        await bench.run()
    assert caught.value.code is ErrorCode.NO_DATA
    assert bench.stored.execution.status is StatusExecucao.EXECUTANDO


async def test_doubled_rows_are_found_before_the_end() -> None:
    """If the table does not hold exactly the rows that the chunks wrote the execution does not become CONCLUIDO."""
    bench = Bench()

    async def doubled(_: object) -> int:
        return 999

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.fakes.FakeWork.count_results", doubled)
        with pytest.raises(PermanentError, match="holds 999 rows"):
            await bench.run()


async def test_lost_lease_stops_the_job() -> None:
    """When another worker takes over, the next commit is refused and nothing more is computed."""
    bench = Bench()

    def steal(request: Any) -> None:
        if isinstance(request, ChunkRequest):
            bench.stored.epoch = 9

    bench.compute._before = steal
    with pytest.raises(LeaseLostError):
        await bench.run()
    assert (len(bench.chunks), bench.stored.summaries) == (1, {})


async def test_numbers_do_not_depend_on_how_many_processes_share_a_step() -> None:
    """A step that one chunk could hold is cut for all processes, and nothing that is stored or told of it differs."""
    many = FakeSales({f"p{number:02d}": STEADY[f"p{number % 6}"] for number in range(60)})
    alone, shared = (Bench(many, chunk_products=200, processes=count, parallel=count + 1) for count in (1, 2))
    await alone.run()
    await shared.run()
    assert [len(chunk.products) for chunk in alone.chunks] == [60]
    assert [len(chunk.products) for chunk in shared.chunks] == [30, 30]
    assert shared.stored.results.keys() == alone.stored.results.keys()
    for name, forecast in alone.stored.results.items():
        assert shared.stored.results[name].volume.tobytes() == forecast.volume.tobytes()
    assert shared.statuses[-1].resultado_resumo == alone.statuses[-1].resultado_resumo


async def test_first_failure_of_parallel_chunks_decides() -> None:
    """With chunks side by side the first error ends the others and is the one that is raised, not a group."""
    bench = Bench(parallel=3)

    def fail(request: Any) -> None:
        if isinstance(request, ChunkRequest):
            raise TransientError("a model process died")

    bench.compute._before = fail
    with pytest.raises(TransientError):
        await bench.run()


async def test_progress_is_sent_at_most_once_a_second() -> None:
    """Inside a step progress goes out once a second of the clock, with an estimate of what is left."""
    clock = ManualClock()

    def tick(request: Any) -> None:
        if isinstance(request, ChunkRequest):
            clock.seconds += 0.6

    many = {f"p{number:02d}": STEADY["p1"] for number in range(20)}
    bench = Bench(FakeSales(many), before=tick, clock=clock)
    await bench.run()
    reports = [
        event for event in bench.statuses if event.progress is not None and event.progress.eta_seconds is not None
    ]
    assert [event.progress.products_processed for event in reports if event.progress] == [4, 8, 12, 16]
    assert [event.progress.eta_seconds for event in reports if event.progress] == [4.8, 3.6, 2.4, 1.2]
    percents = [event.progress.percent for event in bench.statuses if event.progress]
    assert percents == sorted(percents)


async def test_estimate_of_a_resumed_attempt_counts_what_is_left() -> None:
    """After a resume the time left is estimated from the chunks that are left, not from all of them."""
    clock = ManualClock()
    many = {f"p{number:02d}": STEADY["p1"] for number in range(20)}
    bench = Bench(FakeSales(many), clock=clock)

    def drain_late(_: Any) -> None:
        clock.seconds += 1.0
        if len(bench.chunks) == 6:
            bench.draining.set()

    bench.compute._before = drain_late
    first = bench.queue.add(claim())
    with pytest.raises(DrainingError):
        await bench.run(first)
    done = bench.stored.execution.products_processed
    bench.draining.clear()
    bench.queue.events.clear()
    bench.compute._before = lambda _: setattr(clock, "seconds", clock.seconds + 1.0)
    await bench.run(bench.queue.resumed(first))
    etas = [event.progress.eta_seconds for event in bench.statuses if event.progress and event.progress.eta_seconds]
    assert etas[0] == (20 - done - 2) / 2
