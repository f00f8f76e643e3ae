from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from consumer.errors import LeaseLostError, PermanentError, TransientError
from consumer.execution import prepare
from consumer.execution.run import DrainingError
from consumer.forecasting.types import ChunkRequest
from consumer.steps import Step
from schemas.enums import ClasseABC, ClasseXYZ, CommandKind, ErrorCode, PadraoDemanda, StatusExecucao
from tests.builders import claim
from tests.fakes import FakeSales, ManualClock
from tests.unit.core.job_bench import STEADY, Bench

if TYPE_CHECKING:
    from collections.abc import Callable

SPARSE = {f"s{number}": [0.0] * 5 + [3.0, 0.0, 0.0, 4.0, 0.0] * 11 for number in range(3)}
CLASSES = {"classe_abc": ClasseABC.A, "classe_xyz": ClasseXYZ.X, "padrao_demanda": PadraoDemanda.REGULAR}
RUNNING, DONE, SKIPPED = "RUNNING", "COMPLETED", "SKIPPED"


def small(before: Callable[[Any], None] | None = None, **options: Any) -> Bench:
    """Nine products of two model steps that would fit one chunk."""
    return Bench(FakeSales(STEADY | SPARSE), before=before, **{"chunk_products": 9, **options})


def classify(bench: Bench) -> None:
    """Let all products have classes, so that nothing is computed before the chunks."""
    profiles = bench.sales.profiles

    async def classified(ids: Any) -> Any:
        return {name: replace(profile, **CLASSES) for name, profile in (await profiles(ids)).items()}

    bench.sales.profiles = classified  # type: ignore[method-assign, assignment]  # one reader in one test


async def test_small_execution_is_one_transaction_after_its_beginning() -> None:
    """Plan, steps, results and the end are written at once; nothing is kept to resume from, each step is told once."""
    bench = small()
    await bench.run()
    assert bench.queue.transactions == 2
    assert (bench.stored.plan, bench.stored.chunks) == (None, {})
    ends = [DONE, DONE, SKIPPED, DONE, DONE, SKIPPED, DONE, SKIPPED, DONE, DONE]
    assert bench.steps == [*enumerate(ends, start=1)]
    assert [event.sequence for event in bench.statuses] == [1, 2, 3]
    assert set(bench.stored.results) == set(STEADY | SPARSE)


async def test_execution_that_its_claim_began_is_one_transaction() -> None:
    """What the claim has begun is not begun again."""
    bench = small()
    taken = bench.queue.add(claim())
    execution = bench.stored.execution
    execution.set_out(ManualClock().now(), planned=False)
    execution.events.clear()
    await bench.run(replace(taken, begun=True))
    assert bench.queue.transactions == 1
    assert [event.status for event in bench.statuses] == [StatusExecucao.PENDENTE, StatusExecucao.CONCLUIDO]


@pytest.mark.parametrize("kind", list(CommandKind))
@pytest.mark.parametrize("patience", [0.0, 60.0])
async def test_small_leaves_what_chunks_leave(kind: CommandKind, patience: float) -> None:
    """However an execution is written, its summary, steps, forecasts, metrics and models are the same."""
    whole, cut = small(patience_seconds=patience), small(chunk_products=4)
    for bench in (whole, cut):
        await bench.run(bench.queue.add(claim(kind)))
    assert (whole.stored.plan is None) == bool(patience)
    assert whole.statuses[-1].resultado_resumo == cut.statuses[-1].resultado_resumo
    assert whole.statuses[-1].progress == cut.statuses[-1].progress
    assert whole.outcome == cut.outcome
    for one in (whole.stored, cut.stored):
        assert all(
            state.started_at <= (state.completed_at or state.started_at) for state in one.execution.steps.values()
        )
    assert list(whole.stored.results) == list(cut.stored.results)
    assert whole.stored.metrics.keys() == cut.stored.metrics.keys()
    assert [model.metricas_treino for model, _ in whole.stored.models] == [
        model.metricas_treino for model, _ in cut.stored.models
    ]


@pytest.mark.parametrize(
    ("slow", "told"), [("overview", [(1, RUNNING)]), ("profiles", [(1, DONE), (2, RUNNING)])], ids=["load", "segment"]
)
async def test_planner_sees_the_step_that_lasts(
    monkeypatch: pytest.MonkeyPatch, slow: str, told: list[tuple[int, str]]
) -> None:
    """A first or second step that is not over in a moment is told to run while it does; the rest follows once."""
    monkeypatch.setattr(prepare, "WORTH_TELLING_SECONDS", 0.0)
    bench = small()
    read, hanging = getattr(bench.sales, slow), asyncio.Event()

    async def hang(*arguments: Any) -> Any:
        await hanging.wait()
        return await read(*arguments)

    setattr(bench.sales, slow, hang)
    job = asyncio.create_task(bench.run())
    await bench.queue.committed(2)
    assert bench.steps == told
    hanging.set()
    await job
    assert len(bench.steps) == len(set(bench.steps))
    assert set(bench.outcome.values()) == {DONE, SKIPPED}


async def test_failure_before_anything_was_told_fails_the_first_step() -> None:
    """An execution that ends in ERRO while its first step runs tells that step as FAILED, begun with the claim."""
    bench = Bench(FakeSales({}))
    with pytest.raises(PermanentError):
        await bench.run()
    execution = bench.stored.execution
    execution.finish(StatusExecucao.ERRO, execution.steps[Step.LOAD_DATA].started_at, error=(ErrorCode.NO_DATA, "none"))
    assert [(event.step_order, event.status) for event in execution.events[:-1]] == [(1, "FAILED")]


async def test_what_takes_longer_is_stored_and_told_and_computed_once() -> None:
    """When patience ends the plan is there for a successor, and what is being computed goes on."""
    bench = small(patience_seconds=0.0)
    await bench.run()
    assert bench.stored.plan is not None
    computed = [product.product_id for request in bench.chunks for product in request.products]
    assert sorted(computed) == sorted(STEADY | SPARSE)
    assert bench.statuses[-1].status is StatusExecucao.CONCLUIDO
    assert (4, RUNNING) in bench.steps


async def test_failed_attempt_leaves_nothing_and_the_next_begins_anew() -> None:
    """A model process that dies costs an attempt; the successor plans and computes everything itself."""
    failing = [TransientError("a model process died")]

    def die_once(request: Any) -> None:
        if isinstance(request, ChunkRequest) and failing:
            raise failing.pop()

    bench = small(die_once)
    first = bench.queue.add(claim())
    with pytest.raises(TransientError):
        await bench.run(first)
    assert (bench.stored.plan, bench.stored.results) == (None, {})
    await bench.run(bench.queue.resumed(first))
    assert set(bench.stored.results) == set(STEADY | SPARSE)
    assert (bench.statuses[-1].attempt, bench.statuses[-1].status) == (2, StatusExecucao.CONCLUIDO)


async def test_lost_lease_writes_nothing() -> None:
    """A zombie's small execution is refused whole."""
    bench = small()
    first = bench.queue.add(claim())
    bench.compute._before = lambda request: (
        bench.queue.resumed(first) if isinstance(request, ChunkRequest) and bench.stored.epoch == 1 else None
    )
    with pytest.raises(LeaseLostError):
        await bench.run(first)
    assert bench.stored.results == {}
    assert bench.stored.execution.status is StatusExecucao.EXECUTANDO


class Endless:
    """A model process that never answers."""

    def __init__(self) -> None:
        self.started, self.killed = asyncio.Event(), asyncio.Event()

    async def run(self, *_: Any) -> Any:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.killed.set()


def endless(bench: Bench) -> Endless:
    """Let the chunks of a bench never end."""
    classify(bench)
    process = Endless()
    bench.compute.run = process.run  # type: ignore[method-assign]  # one process in one test
    return process


async def test_cancelled_job_stops_computing() -> None:
    """Who cancels the job does not leave its computing behind, so that the model processes can be killed."""
    bench = small()
    process = endless(bench)
    job = asyncio.create_task(bench.run())
    await process.started.wait()
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert process.killed.is_set()


async def test_shutdown_amid_a_long_one_hands_it_back() -> None:
    """When patience ended and the process shuts down, the stored plan is good and nothing is half written."""
    bench = small(patience_seconds=0.0)
    process = endless(bench)
    bench.draining.set()
    with pytest.raises(DrainingError):
        await bench.run()
    assert process.killed.is_set()
    assert bench.stored.plan is not None
    assert bench.stored.results == {}
