"""The values that cross the border of the domain, and nothing else.

Weeks are Mondays (UTC) as ``datetime64[D]``. Quantile arrays have the levels of ``QUANTILES`` as their last
axis.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import numpy.typing as npt

from schemas.enums import ClasseABC, ClasseXYZ, ModeloForecast, PadraoDemanda

if TYPE_CHECKING:
    from datetime import date

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
WeekArray = npt.NDArray[np.datetime64]

QUANTILES: Final[tuple[float, ...]] = (0.10, 0.25, 0.50, 0.75, 0.90)


class Variant(StrEnum):
    """The exact model behind a number; what planners see as ``forecast_metrica.modelo``."""

    TFT = "TFT"
    LGBM = "LGBM"
    ENSEMBLE = "ENSEMBLE"
    AUTO_ETS = "AUTO_ETS"
    SIMPLE_ETS = "SIMPLE_ETS"
    CROSTON = "CROSTON"
    SBA = "SBA"
    TSB = "TSB"
    BOOTSTRAP = "BOOTSTRAP"
    NAIVE = "NAIVE"
    MOVING_AVERAGE_12 = "MOVING_AVERAGE_12"

    @property
    def modelo(self) -> ModeloForecast:
        """The backend's coarser name, ``forecast_resultado.modelo_usado``."""
        return _MODELO[self]


_MODELO: Final = {
    Variant.TFT: ModeloForecast.TFT,
    Variant.LGBM: ModeloForecast.LGBM,
    Variant.ENSEMBLE: ModeloForecast.ENSEMBLE,
    Variant.AUTO_ETS: ModeloForecast.ETS,
    Variant.SIMPLE_ETS: ModeloForecast.ETS,
    Variant.NAIVE: ModeloForecast.ETS,
    Variant.MOVING_AVERAGE_12: ModeloForecast.ETS,
    Variant.CROSTON: ModeloForecast.CROSTON,
    Variant.SBA: ModeloForecast.CROSTON,
    Variant.TSB: ModeloForecast.CROSTON,
    Variant.BOOTSTRAP: ModeloForecast.CROSTON,
}


@dataclass(frozen=True, slots=True)
class WeeklySales:
    """Weekly sales of some products as the database has them: a row for each product and week that has one.

    Attributes:
        product_ids: The n products that were asked for, in order; one without a row is simply never indexed.
        product: ``(rows,)`` index into ``product_ids``, ascending.
        week: ``(rows,)`` Mondays, ascending within a product, unique within a product.
        volume: ``(rows,)`` units sold; negative where returns exceed sales.
        revenue: ``(rows,)`` money, in the currency of the backend.
    """

    product_ids: tuple[str, ...]
    product: IntArray
    week: WeekArray
    volume: FloatArray
    revenue: FloatArray


@dataclass(frozen=True, slots=True)
class ProductOverview:
    """What planning an execution must know of a product's history before reading it."""

    product_id: str
    first_sale: date
    newest_week: date
    revenue_52_weeks: float


@dataclass(frozen=True, slots=True)
class ProductProfile:
    """What the backend knows of a product: its stored classification (if any) and list price (if any)."""

    product_id: str
    classe_abc: ClasseABC | None = None
    classe_xyz: ClasseXYZ | None = None
    padrao_demanda: PadraoDemanda | None = None
    modelo_sugerido: str | None = None
    preco_venda: float | None = None


@dataclass(frozen=True, slots=True)
class PlannedProduct:
    """One product of a chunk: its classes and the models that will be tried, in order. JSON-serialisable.

    Attributes:
        models: Available models only, first choice first; empty for a product without sales.
        reason: What chose the models: the table's row, the command, the product's own suggestion.
        fallback: Why the first choice is not the first of ``models``; None if it is.
    """

    product_id: str
    classe_abc: ClasseABC
    classe_xyz: ClasseXYZ
    padrao_demanda: PadraoDemanda
    models: tuple[Variant, ...]
    reason: str
    preco_venda: float | None = None
    fallback: str | None = None


@dataclass(frozen=True, slots=True)
class PlannedChunk:
    """Products that are computed and committed together, under the step of ``step_order`` (3..6)."""

    number: int
    step_order: int
    products: tuple[PlannedProduct, ...]


@dataclass(frozen=True, slots=True)
class ChunkRequest:
    """Everything that a worker process needs for one chunk; a pure function of it gives a ``ChunkResult``.

    Attributes:
        task: ``predict`` forecasts ``horizon`` weeks after ``as_of``; ``train`` and ``backtest`` hold out the
            last ``horizon`` weeks up to ``as_of`` and measure on them.
        as_of: The newest week (Monday) that any product has.
        seed: Of the execution; each product derives its own from it and its id.
    """

    task: Literal["train", "predict", "backtest"]
    products: tuple[PlannedProduct, ...]
    sales: WeeklySales
    as_of: date
    horizon: int
    seed: int


@dataclass(frozen=True, slots=True)
class ProductForecast:
    """A forecast of one product; arrays are ``(horizon, 5)``.

    Attributes:
        revenue: Volume times price; None without any price.
        direct_revenue: What the model of revenue says; None if none was trained.
    """

    product_id: str
    variant: Variant
    first_week: date
    volume: FloatArray
    revenue: FloatArray | None
    direct_revenue: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class ProductMetric:
    """Errors of one model on one product's holdout; MAPE, in percent, is None without demand."""

    product_id: str
    variant: Variant
    classe_abc: ClasseABC
    mape: float | None
    mae: float | None
    rmse: float | None
    bias: float | None


@dataclass(frozen=True, slots=True)
class ProductFailure:
    """A product for which no model of its plan worked."""

    product_id: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ChunkResult:
    """What a chunk's computation gives back; ``summary`` is JSON and is what ``summary.merge`` adds up."""

    forecasts: tuple[ProductForecast, ...] = ()
    metrics: tuple[ProductMetric, ...] = ()
    failures: tuple[ProductFailure, ...] = ()
    summary: dict[str, object] = field(default_factory=dict)
