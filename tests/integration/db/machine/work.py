"""What a worker does in one fenced transaction, written once for the model and for the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consumer.db.repositories.forecast_repo import write_down
from consumer.steps import Step
from schemas.enums import ErrorCode, StatusExecucao, StepStatus
from tests.builders import at, forecasts, planned_chunk
from tests.fakes import FakeWork, unwritten

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from consumer.forecasting.types import ProductForecast
    from consumer.ports.fenced import FencedWork, ResultRows

CHUNKS = 3
HORIZON = 2


async def begin(work: FencedWork) -> None:
    work.execution.begin(at(1))


async def load(work: FencedWork) -> None:
    """The first step begins, then ends."""
    _begun(work)
    step = work.execution.steps.get(Step.LOAD_DATA)
    if step is None:
        work.execution.start_step(Step.LOAD_DATA, at(2))
    elif step.status is StepStatus.RUNNING:
        work.execution.complete_step(Step.LOAD_DATA, at(3), records=3)


async def chunk(work: FencedWork) -> None:
    """The next chunk of one product; when all are done, the first once more, with other numbers."""
    _begun(work)
    execution = work.execution
    if not execution.products_total:
        execution.products_total = CHUNKS
        await work.save_plan({"chunks": CHUNKS}, [planned_chunk(number, f"p{number}") for number in range(CHUNKS)])
    done = len(await work.summaries())
    number = done % CHUNKS
    execution.start_step(Step.EXECUTE_ETS, at(4), products_total=CHUNKS)
    made = forecasts([f"p{number}"], HORIZON, level=execution.attempt)
    await work.replace_results(await _rows(work, made))
    await work.save_chunk(number, {"number": number})
    if done < CHUNKS:
        execution.count_products(Step.EXECUTE_ETS, 1)
    execution.report(Step.EXECUTE_ETS, at(5))


def finish(status: StatusExecucao) -> Callable[[FencedWork], Awaitable[None]]:
    async def ending(work: FencedWork) -> None:
        error = (ErrorCode.INTERNAL, "broke") if status is StatusExecucao.ERRO else None
        work.execution.finish(status, at(6), error=error)

    return ending


async def end(work: FencedWork) -> None:
    """The end that every execution can come to."""
    work.execution.finish(StatusExecucao.ERRO, at(7), error=(ErrorCode.INTERNAL, "given up"))


async def _rows(work: FencedWork, made: tuple[ProductForecast, ...]) -> ResultRows:
    """In the form of the store that will keep them."""
    if isinstance(work, FakeWork):
        return unwritten(HORIZON, made)
    return await write_down(work.execution.execucao_id, HORIZON, made)


def _begun(work: FencedWork) -> None:
    if work.execution.status is StatusExecucao.PENDENTE:
        work.execution.begin(at(1))
