from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from consumer.errors import TransitionError
from consumer.model import TERMINAL, Execution
from consumer.steps import MODEL_STEPS, Step
from schemas.enums import CommandKind, ErrorCode, GatilhoExecucao, StatusExecucao, StepStatus
from schemas.events import ExecutionStatusChanged, StepLogged
from tests.builders import at, uuid

if TYPE_CHECKING:
    from datetime import datetime

    from consumer.model import Event


class ExecutionMachine(RuleBasedStateMachine):
    """Any order in which a worker, its successors after crashes and a cancellation may touch one execution."""

    @initialize(products=st.integers(0, 40))
    def accept(self, products: int) -> None:
        self.products = products
        self.second = 0.0
        self.step = Step.LOAD_DATA
        self.committed: list[Event] = []
        self.execution = Execution(uuid(1), CommandKind.TRAIN, GatilhoExecucao.MANUAL)
        self.execution.accept(self.tick())

    def tick(self) -> datetime:
        self.second += 0.3
        return at(self.second)

    @property
    def running(self) -> bool:
        return self.execution.status is StatusExecucao.EXECUTANDO

    @rule()
    def begin(self) -> None:
        if self.execution.terminal:
            with pytest.raises(TransitionError):
                self.execution.begin(self.tick())
            return
        self.execution.attempt += 1
        self.execution.begin(self.tick())

    @precondition(lambda self: self.running and self.step is not Step.FINALIZE)
    @rule(skip=st.booleans())
    def end_step(self, *, skip: bool) -> None:
        if skip and self.step not in self.execution.steps:
            self.execution.skip_step(self.step, self.tick(), "does not apply")
        else:
            self.execution.complete_step(self.step, self.tick(), records=3)
        if self.step is Step.SEGMENT_SKUS:
            self.execution.products_total = self.products
        self.step = Step(self.step + 1)

    @precondition(lambda self: self.running)
    @rule()
    def start_step(self) -> None:
        total = self.products if self.step in MODEL_STEPS else None
        self.execution.start_step(self.step, self.tick(), products_total=total)

    @precondition(lambda self: self.running and self.step in MODEL_STEPS and self.step in self.execution.steps)
    @rule(chunk=st.integers(1, 15))
    def compute_chunk(self, chunk: int) -> None:
        self.execution.count_products(self.step, min(chunk, self.products - self.execution.products_processed))
        self.execution.report(self.step, self.tick())

    @rule(status=st.sampled_from(list(StatusExecucao)))
    def finish(self, status: StatusExecucao) -> None:
        error = (ErrorCode.INTERNAL, "broke") if status is StatusExecucao.ERRO else None
        allowed = status in TERMINAL and (self.running or (not self.execution.terminal and error is not None))
        if allowed:
            self.execution.finish(status, self.tick(), error=error)
            return
        before = (self.execution.status, len(self.execution.events))
        with pytest.raises(TransitionError):
            self.execution.finish(status, self.tick(), error=error)
        assert (self.execution.status, len(self.execution.events)) == before

    @precondition(lambda self: not self.execution.terminal)
    @rule()
    def crash_after_commit(self) -> None:
        """What the database kept is all that the next worker sees."""
        kept = self.execution
        self.committed += kept.events
        self.execution = replace(kept, steps=dict(kept.steps), events=[], touched_steps=set(), moved_from=None)

    def teardown(self) -> None:
        if not hasattr(self, "execution"):
            return
        events = [*self.committed, *self.execution.events]
        statuses = [event for event in events if isinstance(event, ExecutionStatusChanged)]
        steps = [event for event in events if isinstance(event, StepLogged)]
        assert [event.sequence for event in statuses] == list(range(1, len(statuses) + 1))
        assert [event.sequence for event in steps] == list(range(1, len(steps) + 1))
        _check_statuses(statuses, ended=self.execution.terminal)
        _check_steps(steps, self.execution)


def _check_statuses(statuses: list[ExecutionStatusChanged], *, ended: bool) -> None:
    assert statuses[0].status is StatusExecucao.PENDENTE
    assert [event.terminal for event in statuses] == [False] * (len(statuses) - 1) + [ended]
    assert all((event.progress is None) == (event.status in ("PENDENTE", "ERRO")) for event in statuses)
    percents = [event.progress.percent for event in statuses if event.progress is not None]
    assert percents == sorted(percents)
    assert all((percent == 100) == event.terminal for percent, event in zip(percents, statuses[1:], strict=False))


def _check_steps(steps: list[StepLogged], execution: Execution) -> None:
    last = {event.step_order: event for event in steps}
    assert {order: event.status for order, event in last.items()} == {
        int(step): state.status for step, state in execution.steps.items()
    }
    assert all((event.completed_at is None) == (event.status is StepStatus.RUNNING) for event in steps)
    if execution.status is StatusExecucao.ERRO:
        assert StepStatus.RUNNING not in {state.status for state in execution.steps.values()}


TestExecutionMachine = ExecutionMachine.TestCase
TestExecutionMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
