"""The ten steps of every execution, and the state of each."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from schemas.enums import StepStatus

if TYPE_CHECKING:
    from datetime import datetime


class Step(IntEnum):
    """The steps in their order; the names are ``execucao_step_log.step_name``."""

    LOAD_DATA = 1
    SEGMENT_SKUS = 2
    EXECUTE_TFT = 3
    EXECUTE_ETS = 4
    EXECUTE_CROSTON_TSB = 5
    EXECUTE_LGBM_ENSEMBLE = 6
    CALCULATE_REVENUE = 7
    CALCULATE_METRICS = 8
    SAVE_RESULTS = 9
    FINALIZE = 10

    @property
    def wire_name(self) -> str:
        """The name as the database and the events spell it."""
        return self.name.lower()


TOTAL_STEPS: Final = len(Step)
MODEL_STEPS: Final = (
    Step.EXECUTE_TFT,
    Step.EXECUTE_ETS,
    Step.EXECUTE_CROSTON_TSB,
    Step.EXECUTE_LGBM_ENSEMBLE,
)
CLOSING_STEPS: Final = (Step.CALCULATE_REVENUE, Step.CALCULATE_METRICS, Step.SAVE_RESULTS, Step.FINALIZE)

# Share of the whole, in percent, that is done when a step begins. The model steps share 5..90 by their products.
_PERCENT_BEFORE: Final = {
    Step.LOAD_DATA: 0,
    Step.SEGMENT_SKUS: 3,
    Step.CALCULATE_REVENUE: 90,
    Step.CALCULATE_METRICS: 92,
    Step.SAVE_RESULTS: 94,
    Step.FINALIZE: 98,
}
_MODELS_FROM: Final = 5
_MODELS_TO: Final = 90
_MILLISECONDS_MAX: Final = 2**31 - 1  # execucao_step_log.duration_ms is a PostgreSQL integer


def percent_done(step: Step, processed: int, total: int) -> int:
    """Share of the execution that is done, 0..99; 100 is left to the terminal event."""
    if step not in MODEL_STEPS:
        return _PERCENT_BEFORE[step]
    share = min(1.0, processed / total) if total else 0.0
    return _MODELS_FROM + int((_MODELS_TO - _MODELS_FROM) * share)


class StepState(NamedTuple):
    """One step of one execution.

    Attributes:
        records: Rows or products that the step has dealt with.
        products_total: For a model step, how many products it will deal with.
        log_id: The step's row of ``execucao_step_log``, once there is one.
        told: Whether an event has said that it runs, or how it ended.
    """

    status: StepStatus
    started_at: datetime
    completed_at: datetime | None = None
    records: int = 0
    products_total: int | None = None
    details: dict[str, Any] | None = None
    log_id: int | None = None
    told: bool = True

    @property
    def percent(self) -> int:
        """Share of this step that is done, 0..100."""
        if self.status is not StepStatus.RUNNING:
            return 0 if self.status is StepStatus.FAILED else 100
        if not self.products_total:
            return 0
        return min(99, 100 * self.records // self.products_total)

    def counted(self, products: int) -> StepState:
        """The state after that many more products."""
        return self._replace(records=self.records + products)

    def ended(self, status: StepStatus, now: datetime, *, records: int, details: dict[str, Any] | None) -> StepState:
        """The state after the step's end."""
        return self._replace(status=status, completed_at=now, records=max(records, self.records), details=details)

    def logged(self, log_id: int) -> StepState:
        """The state once it has a row in the step log."""
        return self._replace(log_id=log_id)

    def duration_ms(self, now: datetime) -> int:
        """Milliseconds from the start to the end, or to now."""
        elapsed = (self.completed_at or now) - self.started_at
        return max(0, min(_MILLISECONDS_MAX, int(elapsed.total_seconds() * 1000)))
