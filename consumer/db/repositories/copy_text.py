"""Rows in COPY's text format, which for numeric columns is faster to make than ``Decimal`` objects."""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING, Final

import numpy as np

from consumer.db.repositories.row_ids import row_id, row_id_stem
from schemas.enums import TargetType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from consumer.forecasting.types import FloatArray, ProductForecast, ProductMetric

RESULT_COLUMNS: Final = (
    *("id", "execucao_id", "produto_id", "periodo", "horizonte_semanas", "modelo_usado", "target_type"),
    *("p10", "p25", "p50", "p75", "p90"),
    *("faturamento_p10", "faturamento_p50", "faturamento_p90"),
)
METRIC_COLUMNS: Final = (
    *("id", "execucao_id", "produto_id", "modelo"),
    *("mape", "mae", "rmse", "bias", "classe_abc"),
)
# Values from here on would round to more digits than the column's precision has before the point.
_RESULT_LIMIT: Final = 1e10 - 0.5e-4
_METRIC_LIMITS: Final = {
    "mape": 1e4 - 0.5e-4,
    "mae": 1e8 - 0.5e-4,
    "rmse": 1e8 - 0.5e-4,
    "bias": 1e4 - 0.5e-4,
}
# Half the time of ``str.format``, and the same digits.
_FIVE_CELLS: Final = "\t".join(["%.4f"] * 5)
_THREE_CELLS: Final = "\t".join(["%.4f"] * 3)
_DIRECT: Final = [0, 2, 4]  # p10, p50 and p90 of the five
_NULL: Final = r"\N"
_THREE_NULLS: Final = "\t".join([_NULL] * 3)
_ESCAPES: Final = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def result_rows(execucao_id: str, horizon: int, forecasts: Iterable[ProductForecast]) -> bytes:
    """Rows of ``forecast_resultado`` for ``RESULT_COLUMNS``: VOLUME and, where there is a price, FATURAMENTO.

    What a model of revenue says stands beside the volume of the same week, in the VOLUME row: that is the row which
    planning reads, and a sum over rows of either target counts it once.

    Raises:
        ValueError: A forecast has not ``horizon`` weeks of five quantiles, does not begin on a Monday, or
            has a value that is not finite or does not fit numeric(14,4). The message names the product.
    """
    lines: list[str] = []
    for forecast in forecasts:
        _check_first_week(forecast)
        lines.extend(_target_rows(execucao_id, horizon, forecast, TargetType.VOLUME, forecast.volume))
        if forecast.revenue is not None:
            lines.extend(_target_rows(execucao_id, horizon, forecast, TargetType.FATURAMENTO, forecast.revenue))
    return "".join(lines).encode()


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


def _target_rows(
    execucao_id: str, horizon: int, forecast: ProductForecast, target: TargetType, quantiles: FloatArray
) -> Iterator[str]:
    _check_quantiles(forecast.product_id, target, quantiles, (horizon, 5))
    stem = row_id_stem(execucao_id, "result", forecast.product_id, target)
    owner = f"\t{_escaped(execucao_id)}\t{_escaped(forecast.product_id)}\t"
    kind = f"\t{horizon}\t{forecast.variant.modelo}\t{target}\t"
    direct = _direct_cells(forecast, horizon) if target is TargetType.VOLUME else [_THREE_NULLS] * horizon
    weeks = zip(_weeks(forecast.first_week, horizon), quantiles.tolist(), direct, strict=True)
    for (ordinal, day), row, revenue in weeks:
        yield f"{stem}{ordinal:06x}{owner}{day}{kind}{_FIVE_CELLS % tuple(row)}\t{revenue}\n"


def _direct_cells(forecast: ProductForecast, horizon: int) -> list[str]:
    if forecast.direct_revenue is None:
        return [_THREE_NULLS] * horizon
    _check_quantiles(forecast.product_id, "direct revenue", forecast.direct_revenue, (horizon, 5))
    return [_THREE_CELLS % tuple(row) for row in forecast.direct_revenue[:, _DIRECT].tolist()]


@lru_cache(maxsize=8)
def _weeks(first_week: date, horizon: int) -> list[tuple[int, str]]:
    """Ordinal and ISO text of each week: the same for nearly all products of a chunk."""
    mondays = [first_week + timedelta(weeks=week) for week in range(horizon)]
    return [(monday.toordinal(), monday.isoformat()) for monday in mondays]


def _check_first_week(forecast: ProductForecast) -> None:
    if forecast.first_week.weekday() != 0:
        raise ValueError(
            f"product {forecast.product_id}: the first week {forecast.first_week} begins on a "
            f"{forecast.first_week:%A}, expected a Monday"
        )


def _check_quantiles(product_id: str, target: str, quantiles: FloatArray, shape: tuple[int, int]) -> None:
    if quantiles.shape != shape:
        raise ValueError(f"product {product_id}: {target} has the shape {quantiles.shape}, expected {shape}")
    # Written so that NaN, which compares false with everything, is refused as well.
    fits = np.abs(quantiles) < _RESULT_LIMIT
    if not fits.all():
        worst = quantiles[~fits][0]
        raise ValueError(f"product {product_id}: {target} has the value {worst}, which numeric(14,4) cannot hold")


def _escaped(value: str) -> str:
    return value.translate(_ESCAPES)
