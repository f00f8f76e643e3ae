"""Errors as rows of ``forecast_metrica``, in COPY's text format: a few, and read by whoever wonders."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Final

from consumer.db.repositories.row_ids import row_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consumer.forecasting.types import ProductMetric

METRIC_COLUMNS: Final = (
    *("id", "execucao_id", "produto_id", "modelo"),
    *("mape", "mae", "rmse", "bias", "classe_abc"),
)
# Values from here on would round to more digits than the column's precision has before the point.
_METRIC_LIMITS: Final = {
    "mape": 1e4 - 0.5e-4,
    "mae": 1e8 - 0.5e-4,
    "rmse": 1e8 - 0.5e-4,
    "bias": 1e4 - 0.5e-4,
}
_NULL: Final = r"\N"
_ESCAPES: Final = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def metric_rows(execucao_id: str, metrics: Sequence[ProductMetric]) -> tuple[BytesIO, int]:
    """Rows of ``forecast_metrica`` for ``METRIC_COLUMNS``.

    Returns:
        The rows, and how many values became NULL because they are not finite or do not fit their column.
    """
    nulled = 0
    lines: list[str] = []
    for metric in metrics:
        cells = [metric_id(execucao_id, metric.product_id, metric.variant), _escaped(execucao_id)]
        cells += [_escaped(metric.product_id), metric.variant.value]
        for name, limit in _METRIC_LIMITS.items():
            value: float | None = getattr(metric, name)
            fits = value is not None and abs(value) < limit
            nulled += value is not None and not fits
            cells.append(f"{value:.4f}" if fits else _NULL)
        lines.append("\t".join([*cells, metric.classe_abc.value]) + "\n")
    return BytesIO("".join(lines).encode()), nulled


def metric_id(execucao_id: str, product_id: str, variant: str) -> str:
    """The id of the one row that a variant's errors on a product have in an execution."""
    return row_id(execucao_id, "metric", product_id, variant)


def _escaped(value: str) -> str:
    return value.translate(_ESCAPES)
