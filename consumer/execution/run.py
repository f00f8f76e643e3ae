"""What the ten steps share while one execution runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final, Literal

from consumer.forecasting.types import ProductFailure
from consumer.steps import Step
from schemas.commands import RunBacktest, RunForecast

if TYPE_CHECKING:
    import asyncio

    from consumer.clock import Clock
    from consumer.ports import Claim, CommandQueue, Compute, SalesReader

# What a train holds out to measure its models: the default horizon of a forecast.
TRAIN_HOLDOUT_WEEKS: Final = 13


@dataclass(frozen=True, slots=True)
class JobOptions:
    """How executions are cut and computed; ``parallel_chunks`` is the number of model processes."""

    chunk_products: int = 200
    parallel_chunks: int = 2
    seed: int = 0
    champion_margin: float = 1.0


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt at one execution: its claim, the doors to the outside, and the signal to stop between chunks."""

    claim: Claim
    queue: CommandQueue
    sales: SalesReader
    compute: Compute
    clock: Clock
    options: JobOptions
    draining: asyncio.Event

    @property
    def task(self) -> Literal["train", "predict", "backtest"]:
        """What the model processes are asked to do."""
        command = self.claim.command
        if isinstance(command, RunForecast):
            return "predict"
        return "backtest" if isinstance(command, RunBacktest) else "train"

    @property
    def weeks(self) -> int:
        """Weeks ahead for a predict, weeks held out for a backtest or a train."""
        command = self.claim.command
        if isinstance(command, RunForecast):
            return command.horizonte_semanas
        return command.holdout_weeks if isinstance(command, RunBacktest) else TRAIN_HOLDOUT_WEEKS


class DrainingError(Exception):
    """The process is shutting down: hand the execution back, its checkpoint is good."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is decided once for an execution and never anew, however often it is resumed.

    Attributes:
        as_of: The newest week (Monday) of any product when the execution began; newer sales are not looked at.
        horizon: Weeks ahead (predict) or held out (train, backtest).
        missing: Products that were asked for and cannot be forecast, with the reason.
        notes: For a model step without products, why.
    """

    as_of: date
    horizon: int
    seed: int
    products_total: int
    missing: tuple[ProductFailure, ...]
    notes: dict[Step, str]

    def to_json(self) -> dict[str, Any]:
        """The form in the command table."""
        return {
            "as_of": self.as_of.isoformat(),
            "horizon": self.horizon,
            "seed": self.seed,
            "products_total": self.products_total,
            "missing": [[failure.product_id, failure.code, failure.message] for failure in self.missing],
            "notes": {str(int(step)): note for step, note in self.notes.items()},
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Plan:
        """The plan of a resumed execution."""
        return cls(
            as_of=date.fromisoformat(value["as_of"]),
            horizon=value["horizon"],
            seed=value["seed"],
            products_total=value["products_total"],
            missing=tuple(ProductFailure(*entry) for entry in value["missing"]),
            notes={Step(int(step)): note for step, note in value["notes"].items()},
        )
