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
from schemas.enums import CommandKind, ErrorCode, GatilhoExecucao, StatusExecucao
from schemas.events import ExecutionStatusChanged, StepLogged
from tests.builders import at, uuid
from tests.unit.core.execution_checks import check_sequences, check_statuses, check_steps

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
    def set_out(self) -> None:
        planned = self.step > Step.SEGMENT_SKUS
        if self.execution.terminal:
            with pytest.raises(TransitionError):
                self.execution.set_out(self.tick(), planned=planned)
            return
        self.execution.attempt += 1
        self.execution.set_out(self.tick(), planned=planned)
        if not planned:
            self.step = Step.LOAD_DATA

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
        check_sequences(statuses)
        check_sequences(steps)
        check_statuses(statuses, ended=self.execution.terminal)
        check_steps(steps, self.execution)


TestExecutionMachine = ExecutionMachine.TestCase
TestExecutionMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
