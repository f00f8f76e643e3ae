"""What the ten steps share while one execution runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

from consumer.forecasting.types import ProductFailure
from consumer.steps import Step
from schemas.commands import RunBacktest, RunForecast

if TYPE_CHECKING:
    import asyncio

    from consumer.clock import Clock
    from consumer.execution.kept_sales import KeptSales
    from consumer.ports.artefacts import ArtefactStore
    from consumer.ports.compute import Compute
    from consumer.ports.queue import Claim, CommandQueue
    from consumer.ports.sales import SalesReader

# What a train holds out to measure its models: the default horizon of a forecast.
TRAIN_HOLDOUT_WEEKS: Final = 13
NO_EXTRA: Final = "the extra tft is not installed here"


@dataclass(frozen=True, slots=True)
class JobOptions:
    """How executions are cut and computed.

    Attributes:
        parallel_chunks: Chunks that are read, computed or written at once; with two more than there are processes,
            every process computes while one chunk is read and another written.
        processes: The number of model processes.
        champion_margin: Points of WAPE by which a challenger must be better.
        automatic_choice: Whether evidence may put another model before the table's.
        global_products: Products with sales below which no global model is trained.
        fit_seconds: What fitting a global model may take.
        patience_seconds: How long a small execution may compute before its plan is stored and told.
        no_tft: Why no TFT is trained or used here; None if it is.
    """

    chunk_products: int = 400
    parallel_chunks: int = 4
    processes: int = 2
    seed: int = 0
    champion_margin: float = 1.0
    automatic_choice: bool = True
    global_products: int = 10
    fit_seconds: float = 1800.0
    patience_seconds: float = 1.0
    no_tft: str | None = NO_EXTRA


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt at one execution: its claim, the doors to the outside, and the signal to stop between chunks."""

    claim: Claim
    queue: CommandQueue
    sales: SalesReader
    compute: Compute
    artefacts: ArtefactStore
    clock: Clock
    options: JobOptions
    draining: asyncio.Event
    kept: KeptSales

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

    def classified_until(self, as_of: date) -> date:
        """The newest week that classes may know: none of those that something is measured on."""
        return as_of if self.task == "predict" else as_of - timedelta(weeks=self.weeks)

    def learned_until(self, as_of: date) -> date:
        """The newest week that models which are kept, or measured on a holdout, may know."""
        return as_of - timedelta(weeks=self.weeks) if self.task == "backtest" else as_of


class DrainingError(Exception):
    """The process is shutting down: hand the execution back, its checkpoint is good."""


@dataclass(frozen=True, slots=True)
class PlannedModels:
    """Where the trained models of an execution are; exactly one of ``workspace`` and ``reference`` is given.

    Attributes:
        workspace: Key of the execution's own checkpoints.
        reference: ``arquivo_path`` of the champion that a predict uses.
        hashes: The SHA-256 of the champion's files, by name.
        about: What the step log and the summary say of them.
        first_step: The first model step in which a product may need a global model, None if none does.
        tft: Whether a TFT is among them.
        tft_reference: ``arquivo_path`` of the champion TFT that a predict uses, which may be of another train.
        tft_hashes: The SHA-256 of its files, by name.
    """

    workspace: str | None
    reference: str | None
    hashes: dict[str, str]
    about: dict[str, Any]
    first_step: int | None = None
    tft: bool = False
    tft_reference: str | None = None
    tft_hashes: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The form in a plan; without a TFT it is one that older versions read too."""
        return {name: value for name, value in asdict(self).items() if self.tft or not name.startswith("tft")}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is decided once for an execution and never anew, however often it is resumed.

    Attributes:
        as_of: The newest week (Monday) of any product when the execution began; newer sales are not looked at.
        horizon: Weeks ahead (predict) or held out (train, backtest).
        missing: Products that were asked for and cannot be forecast, with the reason.
        notes: For a model step without products, why.
        models: Trained models; None without any, then ``untrained`` says why.
    """

    as_of: date
    horizon: int
    seed: int
    products_total: int
    missing: tuple[ProductFailure, ...]
    notes: dict[Step, str]
    models: PlannedModels | None = None
    untrained: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The form in the command table."""
        return {
            "as_of": self.as_of.isoformat(),
            "horizon": self.horizon,
            "seed": self.seed,
            "products_total": self.products_total,
            "missing": [[failure.product_id, failure.code, failure.message] for failure in self.missing],
            "notes": {str(int(step)): note for step, note in self.notes.items()},
            "models": None if self.models is None else self.models.to_json(),
            "untrained": self.untrained,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Plan:
        """The plan of a resumed execution; one that an older version stored has no models."""
        models = value.get("models")
        return cls(
            as_of=date.fromisoformat(value["as_of"]),
            horizon=value["horizon"],
            seed=value["seed"],
            products_total=value["products_total"],
            missing=tuple(ProductFailure(*entry) for entry in value["missing"]),
            notes={Step(int(step)): note for step, note in value["notes"].items()},
            models=None if models is None else PlannedModels(**models),
            untrained=value.get("untrained"),
        )
