from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from consumer.errors import PermanentError, TransitionError
from consumer.model import TERMINAL, TRANSITIONS
from consumer.steps import TOTAL_STEPS, Step, percent_done
from schemas.enums import ErrorCode, StatusExecucao, StepStatus
from schemas.events import StepLogged
from tests.builders import at, execution

if TYPE_CHECKING:
    from collections.abc import Callable

    from consumer.model import Execution

EVERY_STATUS = list(StatusExecucao)


def started(**values: Any) -> Execution:
    made = execution(**values)
    made.accept(at(0))
    made.begin(at(1))
    return made


def events(made: Execution) -> list[Any]:
    """Status and step events alike."""
    return list(made.events)


@pytest.mark.parametrize("start", EVERY_STATUS)
def test_begin_is_allowed_until_the_end(start: StatusExecucao) -> None:
    """An execution may begin from PENDENTE and, resumed, from EXECUTANDO; one that has ended may not."""
    made = execution(status=start)
    if start in TERMINAL:
        with pytest.raises(TransitionError, match=str(start)):
            made.begin(at(0))
        assert (made.status, made.events) == (start, [])
    else:
        made.begin(at(0))
        assert made.status is StatusExecucao.EXECUTANDO


@pytest.mark.parametrize("start", EVERY_STATUS)
@pytest.mark.parametrize("end", EVERY_STATUS)
def test_finish_follows_the_transitions(start: StatusExecucao, end: StatusExecucao) -> None:
    """An execution ends only in a terminal state that may follow the present one, else nothing changes."""
    made = execution(status=start)
    if end in TERMINAL and end in TRANSITIONS[start]:
        made.finish(end, at(0))
        assert (made.status, made.moved_from, events(made)[-1].terminal) == (end, start, True)
    else:
        with pytest.raises(TransitionError):
            made.finish(end, at(0))
        assert (made.status, made.events) == (start, [])


def test_only_what_never_began_may_fail_from_pendente() -> None:
    """PENDENTE can end in ERRO alone: a result needs a beginning."""
    assert TRANSITIONS[StatusExecucao.PENDENTE] & TERMINAL == {StatusExecucao.ERRO}
    assert all(not TRANSITIONS[status] for status in TERMINAL)


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it.accept(at(9)),
        lambda it: it.start_step(Step.LOAD_DATA, at(9)),
        lambda it: it.complete_step(Step.LOAD_DATA, at(9)),
        lambda it: it.skip_step(Step.LOAD_DATA, at(9), "why"),
        lambda it: it.count_products(Step.LOAD_DATA, 1),
        lambda it: it.report(Step.LOAD_DATA, at(9)),
    ],
    ids=["accept", "start_step", "complete_step", "skip_step", "count_products", "report"],
)
def test_nothing_changes_after_the_end(change: Callable[[Execution], None]) -> None:
    """After the terminal event every method refuses, so no second terminal event can be made."""
    made = started()
    made.start_step(Step.LOAD_DATA, at(2))
    made.finish(StatusExecucao.ERRO, at(3), error=(ErrorCode.INTERNAL, "broke"))
    before = list(made.events)
    with pytest.raises(TransitionError):
        change(made)
    assert made.events == before


def test_first_event_is_pendente_without_progress() -> None:
    """The answer to a command is PENDENTE, number 1, attempt 0, without progress."""
    made = execution()
    made.accept(at(0))
    [event] = events(made)
    assert (event.status, event.sequence, event.attempt, event.progress) == (StatusExecucao.PENDENTE, 1, 0, None)


def test_end_in_erro_tells_code_and_message_and_no_progress() -> None:
    """ERRO carries its error; the other ends carry the summary and 100 percent."""
    failed, done = started(), started()
    failed.finish(StatusExecucao.ERRO, at(2), error=(ErrorCode.NO_DATA, "nothing\0 there"))
    done.finish(StatusExecucao.PARCIAL, at(2), resumo={"products": 3})
    assert events(failed)[-1].error is not None
    assert (events(failed)[-1].error.code, events(failed)[-1].error.message) == ("no-data", "nothing� there")
    assert events(failed)[-1].progress is None
    assert events(done)[-1].resultado_resumo == {"products": 3}
    assert (events(done)[-1].progress.percent, events(done)[-1].progress.step_name) == (100, "finalize")


def test_end_in_error_fails_the_running_steps() -> None:
    """A step that ran when the execution failed is logged as FAILED with the error; completed ones stay."""
    made = started()
    made.complete_step(Step.LOAD_DATA, at(2), records=4)
    made.start_step(Step.SEGMENT_SKUS, at(3))
    made.finish(StatusExecucao.ERRO, at(5), error=(ErrorCode.INTERNAL, "broke"))
    assert made.steps[Step.LOAD_DATA].status is StepStatus.COMPLETED
    state = made.steps[Step.SEGMENT_SKUS]
    assert (state.status, state.percent, state.completed_at) == (StepStatus.FAILED, 0, at(5))
    assert state.details == {"code": "internal", "message": "broke"}
    assert [event.status for event in events(made)[-2:]] == [StepStatus.FAILED, StatusExecucao.ERRO]


def test_running_step_is_left_alone_when_resumed() -> None:
    """A resumed attempt that finds a step running opens it no second time and keeps its row and counters."""
    made = started()
    made.start_step(Step.EXECUTE_ETS, at(2), products_total=10)
    made.count_products(Step.EXECUTE_ETS, 4)
    made.steps[Step.EXECUTE_ETS] = made.steps[Step.EXECUTE_ETS].logged(17)
    before = len(made.events)
    made.start_step(Step.EXECUTE_ETS, at(60), products_total=10)
    state = made.steps[Step.EXECUTE_ETS]
    assert (len(made.events), state.log_id, state.records, state.started_at) == (before, 17, 4, at(2))


def test_step_that_runs_again_keeps_its_log_row() -> None:
    """A step that an attempt completed and the next one repeats stays one row of the step log."""
    made = started()
    made.complete_step(Step.LOAD_DATA, at(2), records=4)
    made.steps[Step.LOAD_DATA] = made.steps[Step.LOAD_DATA].logged(5)
    made.start_step(Step.LOAD_DATA, at(9))
    state = made.steps[Step.LOAD_DATA]
    assert (state.status, state.log_id, state.completed_at) == (StepStatus.RUNNING, 5, None)


def test_cancelled_execution_begins_no_more() -> None:
    """An execution whose cancellation was asked for is not begun again by the next attempt."""
    made = execution(status=StatusExecucao.EXECUTANDO, cancel_reason="cancelled: typo")
    with pytest.raises(PermanentError, match="typo") as caught:
        made.begin(at(0))
    assert (caught.value.code, made.events) == (ErrorCode.CANCELLED, [])


def test_cancellation_wins_over_a_result_that_came_later() -> None:
    """A cancellation that was accepted while the execution ran is kept even if the work was done first."""
    made = started()
    made.cancel_reason = "cancelled: typo"
    with pytest.raises(PermanentError, match="typo"):
        made.finish(StatusExecucao.CONCLUIDO, at(5), resumo={})
    made.finish(StatusExecucao.ERRO, at(6), error=(ErrorCode.ATTEMPTS_EXHAUSTED, "given up"))
    assert made.error is not None
    assert (made.error.code, made.error.message) == (ErrorCode.CANCELLED, "cancelled: typo")


def test_ten_steps_have_the_names_of_the_step_log() -> None:
    """The ten steps, in order, are spelled as ``execucao_step_log.step_name`` has them."""
    assert TOTAL_STEPS == 10
    assert [step.wire_name for step in Step] == [
        "load_data",
        "segment_skus",
        "execute_tft",
        "execute_ets",
        "execute_croston_tsb",
        "execute_lgbm_ensemble",
        "calculate_revenue",
        "calculate_metrics",
        "save_results",
        "finalize",
    ]


def test_percent_rises_with_steps_and_products() -> None:
    """The share done rises step by step, within the model steps by products, and leaves 100 to the end."""
    values = [
        percent_done(step, processed, 50) for step in Step for processed in ((0, 20, 50) if 3 <= step <= 6 else (0,))
    ]
    by_products = [percent_done(Step.EXECUTE_ETS, processed, 50) for processed in range(51)]
    assert by_products == sorted(by_products)
    assert [percent_done(step, 50, 50) for step in Step] == sorted(percent_done(step, 50, 50) for step in Step)
    assert (min(values), max(values)) == (0, 98)
    assert percent_done(Step.EXECUTE_ETS, 0, 0) == 5


def test_step_event_counts_its_own_products() -> None:
    """Progress inside a model step tells that step's products, the status tells those of the execution."""
    made = started()
    made.products_total = 20
    made.start_step(Step.EXECUTE_ETS, at(2), products_total=10)
    made.count_products(Step.EXECUTE_ETS, 5)
    made.report(Step.EXECUTE_ETS, at(3), eta_seconds=1.5)
    step, status = events(made)[-2:]
    assert (step.products_processed, step.products_total, step.percent, step.duration_ms) == (5, 10, 50, 1000)
    assert status.progress.model_dump() == {
        "percent": 26,
        "step": 4,
        "total_steps": 10,
        "step_name": "execute_ets",
        "products_processed": 5,
        "products_total": 20,
        "eta_seconds": 1.5,
    }


def test_step_that_starts_and_ends_in_one_transaction_is_told_once() -> None:
    """Only the end of such a step is told, with its start in it, and the sequence has no gap."""
    made = started()
    made.start_step(Step.LOAD_DATA, at(2))
    made.complete_step(Step.LOAD_DATA, at(4), records=3)
    made.start_step(Step.SEGMENT_SKUS, at(4))
    told = [one for one in events(made) if isinstance(one, StepLogged)]
    assert [(one.sequence, one.step_order, one.status) for one in told] == [
        (1, 1, StepStatus.COMPLETED),
        (2, 2, StepStatus.RUNNING),
    ]
    assert (told[0].started_at, told[0].completed_at, told[0].duration_ms) == (at(2), at(4), 2000)


@pytest.mark.parametrize("lasts", [True, False])
def test_first_step_runs_from_the_beginning_and_is_told_when_it_lasts(*, lasts: bool) -> None:
    """Setting out tells EXECUTANDO alone; step 1 is told once if it ends at once, and its time counts from there."""
    made = execution()
    made.accept(at(0))
    made.set_out(at(1), planned=False)
    assert [type(one).__name__ for one in events(made)] == ["ExecutionStatusChanged"] * 2
    assert (events(made)[1].progress.step, made.touched_steps) == (1, set())
    made.events.clear()  # committed
    for _ in range(2 if lasts else 0):
        made.start_step(Step.LOAD_DATA, at(3))
    committed = events(made)
    made.events.clear()
    made.complete_step(Step.LOAD_DATA, at(4), records=3)
    told = [(one.sequence, one.status, one.started_at) for one in [*committed, *events(made)]]
    assert told == [*([(1, "RUNNING", at(1))] * lasts), (1 + lasts, "COMPLETED", at(1))]


def test_step_that_was_seen_running_is_told_again_at_its_end() -> None:
    """What an earlier transaction told, or another step's event followed, is never taken back."""
    made = started()
    made.start_step(Step.LOAD_DATA, at(2))
    made.events.clear()  # committed
    made.complete_step(Step.LOAD_DATA, at(4))
    made.start_step(Step.EXECUTE_ETS, at(5), products_total=2)
    made.skip_step(Step.EXECUTE_LGBM_ENSEMBLE, at(5), "no use")
    made.complete_step(Step.EXECUTE_ETS, at(6))
    assert [(one.sequence, one.step_order) for one in events(made)] == [(2, 1), (3, 4), (4, 6), (5, 4)]
