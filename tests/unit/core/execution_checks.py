"""What the events of one execution must look like, wherever they were recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consumer.steps import Step
from schemas.enums import StatusExecucao, StepStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consumer.model import Execution
    from consumer.steps import StepState
    from schemas.events import ExecutionStatusChanged, StepLogged


def check_sequences(events: Sequence[ExecutionStatusChanged] | Sequence[StepLogged]) -> None:
    """The events of one topic count 1..n."""
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))


def check_statuses(statuses: Sequence[ExecutionStatusChanged], *, ended: bool) -> None:
    """PENDENTE first, one end and nothing after it, progress that only rises."""
    assert statuses[0].status is StatusExecucao.PENDENTE
    assert [event.terminal for event in statuses] == [False] * (len(statuses) - 1) + [ended]
    assert all((event.progress is None) == (event.status in ("PENDENTE", "ERRO")) for event in statuses)
    percents = [event.progress.percent for event in statuses if event.progress is not None]
    assert percents == sorted(percents)
    assert all((percent == 100) == event.terminal for percent, event in zip(percents, statuses[1:], strict=False))


def untold(execution: Execution) -> list[tuple[Step, StepState]]:
    """Steps that no event has told of."""
    return [(step, state) for step, state in execution.steps.items() if not state.told]


def check_steps(steps: Sequence[StepLogged], execution: Execution) -> None:
    """The last event of each step tells its state, but for a first step that runs since a moment ago.

    No step runs on in an execution that failed.
    """
    last = {event.step_order: event for event in steps}
    assert {order: event.status for order, event in last.items()} == {
        int(step): state.status for step, state in execution.steps.items() if state.told
    }
    assert all(step is Step.LOAD_DATA and state.status is StepStatus.RUNNING for step, state in untold(execution))
    assert all((event.completed_at is None) == (event.status is StepStatus.RUNNING) for event in steps)
    if execution.status is StatusExecucao.ERRO:
        assert StepStatus.RUNNING not in {state.status for state in execution.steps.values()}
