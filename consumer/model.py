"""An execution: its states, its ten steps and the events that each change leaves behind. Pure.

The aggregate is loaded under its row's lock, changed by one of the methods here, and saved together with the events
that it recorded. Nothing else makes a status or step event, so sequences have no gaps and no two writers share one.
What nobody could have seen is not told: of a step that starts and ends within one transaction only its end is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NewType

from consumer.errors import PermanentError, TransitionError
from consumer.steps import TOTAL_STEPS, Step, StepState, percent_done
from schemas.enums import CommandKind, ErrorCode, GatilhoExecucao, StatusExecucao, StepStatus
from schemas.events import ErrorInfo, ExecutionStatusChanged, Progress, StepLogged

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

ExecutionId = NewType("ExecutionId", str)
Event = ExecutionStatusChanged | StepLogged

TERMINAL: Final = frozenset({StatusExecucao.CONCLUIDO, StatusExecucao.PARCIAL, StatusExecucao.ERRO})
TRANSITIONS: Final[Mapping[StatusExecucao, frozenset[StatusExecucao]]] = {
    StatusExecucao.PENDENTE: frozenset({StatusExecucao.EXECUTANDO, StatusExecucao.ERRO}),
    StatusExecucao.EXECUTANDO: frozenset({StatusExecucao.EXECUTANDO, *TERMINAL}),
    StatusExecucao.CONCLUIDO: frozenset(),
    StatusExecucao.PARCIAL: frozenset(),
    StatusExecucao.ERRO: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write one execution: valid while ``epoch`` is the newest that the database gave out."""

    execucao_id: ExecutionId
    epoch: int


@dataclass(slots=True)
class Execution:
    """One execution and what changed in it since it was loaded.

    Attributes:
        status_sequence: Number of the last event on the status topic; the next is one more. Likewise ``step_sequence``.
        steps: The steps that were touched so far, by their order.
        events: What was recorded since loading, in order.
        moved_from: The status at loading if it was moved since, else None.
        cancel_reason: Why it is to be cancelled, once that was asked for; then it ends in no other way.
    """

    execucao_id: ExecutionId
    comando: CommandKind
    gatilho: GatilhoExecucao
    status: StatusExecucao = StatusExecucao.PENDENTE
    attempt: int = 0
    status_sequence: int = 0
    step_sequence: int = 0
    steps: dict[Step, StepState] = field(default_factory=dict)
    replay_of: str | None = None
    cancel_reason: str | None = None
    products_processed: int = 0
    products_total: int = 0
    resultado_resumo: dict[str, Any] | None = None
    error: ErrorInfo | None = None
    events: list[Event] = field(default_factory=list)
    touched_steps: set[Step] = field(default_factory=set)
    moved_from: StatusExecucao | None = None

    @property
    def terminal(self) -> bool:
        """Whether the execution has ended; then nothing may change any more."""
        return self.status in TERMINAL

    def accept(self, now: datetime) -> None:
        """Announce the execution: the PENDENTE event that answers its command."""
        self._refuse_ended()
        self._record_status(now)

    def begin(self, now: datetime) -> None:
        """Start, or start again after a crash or a failed attempt.

        Raises:
            TransitionError: The execution has ended.
            PermanentError: It was cancelled meanwhile.
        """
        self._refuse_cancelled()
        self._move(StatusExecucao.EXECUTANDO)
        self._record_status(now)

    def set_out(self, now: datetime, *, planned: bool) -> None:
        """Begin an attempt; without a plan of an earlier one the first step runs from now on.

        That is told with its end, or by ``start_step`` if it lasts: EXECUTANDO says the same meanwhile.

        Raises:
            TransitionError: The execution has ended.
            PermanentError: It was cancelled meanwhile.
        """
        self.begin(now)
        if planned:
            return
        state = self.steps.get(Step.LOAD_DATA)
        if state is None:
            self.steps[Step.LOAD_DATA] = StepState(StepStatus.RUNNING, now, told=False)
        elif state.status is not StepStatus.RUNNING:  # an earlier attempt told its end
            self.start_step(Step.LOAD_DATA, now)

    def finish(
        self,
        status: StatusExecucao,
        now: datetime,
        *,
        resumo: dict[str, Any] | None = None,
        error: tuple[ErrorCode, str] | None = None,
    ) -> None:
        """End the execution; a step that was running then has failed.

        Raises:
            TransitionError: The execution has ended already, or ``status`` is no end.
            PermanentError: It was cancelled meanwhile, and ``status`` is not ERRO.
        """
        if status not in TERMINAL:
            raise TransitionError(self.execucao_id, self.status, status)
        if status is not StatusExecucao.ERRO:
            self._refuse_cancelled()
        elif self.cancel_reason is not None:
            error = (ErrorCode.CANCELLED, self.cancel_reason)
        self._move(status)
        self.resultado_resumo = resumo
        if error is not None:
            # PostgreSQL holds no NUL in text or JSON, and no library's message may keep an execution from ending.
            self.error = ErrorInfo(code=error[0], message=error[1].replace("\0", "\N{REPLACEMENT CHARACTER}"))
            self._fail_running_steps(now, self.error)
        self._record_status(now)

    def start_step(self, step: Step, now: datetime, products_total: int | None = None) -> None:
        """Open a step and tell that; one that runs is left as it is, and told if nobody knows of it yet.

        One row logs all attempts at it.
        """
        self._refuse_ended()
        state = self.steps.get(step)
        if state is not None and state.status is StepStatus.RUNNING:
            if not state.told:
                self._record_step(step, now)
            return
        log_id = None if state is None else state.log_id
        self.steps[step] = StepState(StepStatus.RUNNING, now, products_total=products_total, log_id=log_id)
        self._record_step(step, now)

    def complete_step(
        self, step: Step, now: datetime, *, records: int = 0, details: dict[str, Any] | None = None
    ) -> None:
        """Close a step; one that never ran on its own is opened and closed at once."""
        self._refuse_ended()
        state = self.steps.get(step) or StepState(StepStatus.RUNNING, started_at=now)
        self.steps[step] = state.ended(StepStatus.COMPLETED, now, records=records, details=details)
        self._record_step(step, now)

    def skip_step(self, step: Step, now: datetime, reason: str) -> None:
        """Log a step that does not apply, with the reason."""
        self._refuse_ended()
        self.steps[step] = StepState(StepStatus.SKIPPED, started_at=now, completed_at=now, details={"reason": reason})
        self._record_step(step, now)

    def count_products(self, step: Step, products: int) -> None:
        """Count products that a step has committed; silent, ``report`` tells the subscribers."""
        self._refuse_ended()
        self.products_processed += products
        self.steps[step] = self.steps[step].counted(products)
        self.touched_steps.add(step)

    def report(self, step: Step, now: datetime, eta_seconds: float | None = None) -> None:
        """Tell subscribers how far a running step is, on both topics."""
        self._refuse_ended()
        self._record_step(step, now)
        self._record_status(now, step=step, eta_seconds=eta_seconds)

    def _refuse_cancelled(self) -> None:
        if self.cancel_reason is not None:
            raise PermanentError(ErrorCode.CANCELLED, self.cancel_reason)

    def _refuse_ended(self) -> None:
        if self.terminal:
            raise TransitionError(self.execucao_id, self.status, self.status)

    def _move(self, status: StatusExecucao) -> None:
        if status not in TRANSITIONS[self.status]:
            raise TransitionError(self.execucao_id, self.status, status)
        self.moved_from = self.moved_from or self.status
        self.status = status

    def _fail_running_steps(self, now: datetime, error: ErrorInfo) -> None:
        details = {"code": str(error.code), "message": error.message}
        for step, state in sorted(self.steps.items()):
            if state.status is StepStatus.RUNNING:
                self.steps[step] = state.ended(StepStatus.FAILED, now, records=state.records, details=details)
                self._record_step(step, now)

    def _record_status(self, now: datetime, step: Step | None = None, eta_seconds: float | None = None) -> None:
        self.status_sequence += 1
        self.events.append(
            ExecutionStatusChanged(
                execucao_id=self.execucao_id,
                comando=self.comando,
                status=self.status,
                terminal=self.terminal,
                sequence=self.status_sequence,
                attempt=self.attempt,
                gatilho=self.gatilho,
                progress=self._progress(step, eta_seconds),
                resultado_resumo=self.resultado_resumo,
                error=self.error,
                replay_of=self.replay_of,
                occurred_at=now,
            )
        )

    def _progress(self, step: Step | None, eta_seconds: float | None) -> Progress | None:
        if self.status is StatusExecucao.PENDENTE or self.status is StatusExecucao.ERRO:
            return None
        current = Step.FINALIZE if self.terminal else step or max(self.steps, default=Step.LOAD_DATA)
        return Progress(
            percent=100 if self.terminal else percent_done(current, self.products_processed, self.products_total),
            step=current,
            total_steps=TOTAL_STEPS,
            step_name=current.wire_name,
            products_processed=self.products_processed,
            products_total=self.products_total,
            eta_seconds=eta_seconds,
        )

    def _record_step(self, step: Step, now: datetime) -> None:
        if not self._unsee_start(step):
            self.step_sequence += 1
        self.touched_steps.add(step)
        state = self.steps[step]
        if not state.told:
            state = self.steps[step] = state._replace(told=True)
        self.events.append(
            StepLogged(
                execucao_id=self.execucao_id,
                comando=self.comando,
                sequence=self.step_sequence,
                attempt=self.attempt,
                step_name=step.wire_name,
                step_order=step,
                total_steps=TOTAL_STEPS,
                status=state.status,
                records_processed=state.records,
                duration_ms=state.duration_ms(now),
                details=state.details or {},
                products_processed=state.records if state.products_total is not None else self.products_processed,
                products_total=self.products_total if state.products_total is None else state.products_total,
                percent=state.percent,
                started_at=state.started_at,
                completed_at=state.completed_at,
                occurred_at=now,
            )
        )

    def _unsee_start(self, step: Step) -> bool:
        """Take back the start of a step that has ended, if nobody has seen it and no other step was told since."""
        if self.steps[step].status is StepStatus.RUNNING:
            return False
        for place in reversed(range(len(self.events))):
            event = self.events[place]
            if isinstance(event, StepLogged):
                if event.step_order != step or event.status is not StepStatus.RUNNING:
                    return False
                del self.events[place]
                return True
        return False
