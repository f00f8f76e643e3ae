"""What execution writes in one short transaction that only the newest lease can commit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from consumer.forecasting.champion import Champion, TrainedModel
    from consumer.forecasting.types import PlannedChunk, ProductMetric
    from consumer.model import Execution
    from consumer.steps import Step


@dataclass(frozen=True, slots=True)
class ResultRows:
    """Forecasts as they will be stored, written down before the transaction in which they are.

    Attributes:
        product_ids: Of which products.
        form: For the store that made it, and nobody else.
    """

    product_ids: tuple[str, ...] = ()
    form: Any = None


class FencedWork(Protocol):
    """One short transaction of an execution, open only while the lease is the newest.

    ``execution`` is loaded under its row's lock; its changes and events are saved with everything else, or nothing is.
    """

    execution: Execution

    async def save_plan(self, plan: dict[str, Any], chunks: Sequence[PlannedChunk]) -> None:
        """Keep what a resumed attempt must not decide anew."""
        ...

    async def save_chunk(self, number: int, summary: dict[str, Any]) -> None:
        """Mark a chunk as computed."""
        ...

    async def summaries(self, step: Step | None = None) -> list[dict[str, Any]]:
        """The summaries of all chunks, or of one step's, in chunk order."""
        ...

    async def replace_results(self, rows: ResultRows) -> int:
        """Write forecasts of products, in place of any that this execution wrote for them; the number of rows."""
        ...

    async def replace_metrics(self, metrics: Sequence[ProductMetric]) -> int:
        """The same for metrics; the number of values that the table could not hold and that became NULL."""
        ...

    async def count_results(self) -> int:
        """Rows of ``forecast_resultado`` that this execution has."""
        ...

    async def champion(self, tipo_modelo: str) -> Champion | None:
        """The present champion of a model type; nobody else changes it before this transaction ends."""
        ...

    async def add_model(self, model: TrainedModel, decision: Mapping[str, Any], *, champion: bool) -> int:
        """Store a trained model with the decision on it; a new champion takes the place of the old one. Its version."""
        ...
