"""What worker processes do for a global model: rows of a chunk, and the fit on the rows of all chunks."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from io import BytesIO
from typing import TYPE_CHECKING, Any

from consumer.forecasting.gapless import histories
from consumer.forecasting.global_model import tft
from consumer.forecasting.global_model.base import panel
from consumer.forecasting.global_model.lgbm import fit_lgbm
from consumer.forecasting.global_model.series import series_table
from consumer.forecasting.global_model.training import training_table
from consumer.forecasting.history import for_fitting
from consumer.forecasting.types import Variant
from schemas.enums import TargetType

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from consumer.forecasting.global_model.base import ArrowTable, Panel
    from consumer.forecasting.types import PlannedProduct, WeeklySales


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """The products of a chunk and their sales.

    Attributes:
        as_of: The newest week that any product has; later ones are not looked at.
        products_total: Of the whole execution: it decides how many rows of each product are kept.
        seed: Of the execution.
        tft: Whether a TFT will learn from them as well.
    """

    products: tuple[PlannedProduct, ...]
    sales: WeeklySales
    as_of: date
    products_total: int
    seed: int
    tft: bool = False


@dataclass(frozen=True, slots=True)
class FitRequest:
    """The rows of all chunks.

    Attributes:
        files: Paths of Arrow files, as ``training_rows`` gave them, all for one model; their order is nothing.
        known_until: Monday; demand of later weeks is not looked at.
        seed: Of the execution.
        variant: LGBM or TFT.
    """

    files: tuple[str, ...]
    target: TargetType
    known_until: date
    seed: int
    variant: Variant = Variant.LGBM


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """Arrow files of a chunk.

    Attributes:
        by_target: What LGBM learns from.
        series: What a TFT learns from, None if none was asked for.
    """

    by_target: dict[TargetType, bytes]
    series: bytes | None = None


def training_rows(request: TrainingRequest) -> TrainingRows:
    """Make the rows of a chunk.

    Products that have no usable history are left out: they teach nothing, and ``compute_chunk`` reports them.
    """
    known = _panel(request)
    sample: Any = {"products_total": request.products_total, "seed": request.seed}
    return TrainingRows(
        {target: _arrow_file(training_table(known, target, **sample)) for target in TargetType},
        _arrow_file(series_table(known, TargetType.VOLUME, **sample)) if request.tft else None,
    )


def fit_model(request: FitRequest) -> bytes:
    """Fit the global model of a target; see ``fit_lgbm`` and ``fit_tft``.

    Raises:
        TooFewRowsError: There is too little to learn from.
        TooFewSeriesError: There is too little for a TFT.
    """
    fit = tft.fit_tft if request.variant is Variant.TFT else fit_lgbm
    return fit(_tables(request.files), request.target, known_until=request.known_until, seed=request.seed)


def _panel(request: TrainingRequest) -> Panel:
    products = {product.product_id: product for product in request.products}
    found = histories(request.sales, request.as_of).usable
    fitted = {name: for_fitting(history) for name, history in found.items() if name in products and history.volume.size}
    classes = [products[name].classe_abc for name in fitted]
    return panel(list(fitted), list(fitted.values()), classes, request.as_of)


def _arrow_file(table: ArrowTable) -> bytes:
    ipc: Any = import_module("pyarrow.ipc")
    sink = BytesIO()
    with ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _tables(files: tuple[str, ...]) -> Iterator[ArrowTable]:
    arrow: Any = import_module("pyarrow")
    ipc: Any = import_module("pyarrow.ipc")
    for path in files:
        with arrow.memory_map(path) as source:
            yield ipc.open_file(source).read_all()
