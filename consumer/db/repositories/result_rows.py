"""Forecasts as rows of ``forecast_resultado``, in COPY's binary format.

As text a row takes several times as long to make, and longer for PostgreSQL to read.
"""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from consumer.db.repositories.copy_binary import HEADER, TRAILER, copy_form, dates, integers, numerics, texts
from consumer.db.repositories.row_ids import row_id_stem
from schemas.enums import TargetType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import date

    from consumer.forecasting.types import FloatArray, ProductForecast

RESULT_COLUMNS: Final = (
    *("id", "execucao_id", "produto_id", "periodo", "horizonte_semanas", "modelo_usado", "target_type"),
    *("p10", "p25", "p50", "p75", "p90"),
    *("faturamento_p10", "faturamento_p50", "faturamento_p90"),
)
# Values from here on would round to more digits than numeric(14,4) has before the point.
_LIMIT: Final = 1e10 - 0.5e-4
_DIRECT: Final = [0, 2, 4]  # p10, p50 and p90 of the five


class _Weeks(NamedTuple):
    """What is said of one target of one product: as many rows as there are weeks."""

    forecast: ProductForecast
    target: TargetType
    quantiles: FloatArray
    direct: FloatArray | None


def result_rows(execucao_id: str, horizon: int, forecasts: Iterable[ProductForecast]) -> bytes:
    """Rows for ``RESULT_COLUMNS``: VOLUME and, where there is a price, FATURAMENTO.

    What a model of revenue says stands beside the volume of the same week, in the VOLUME row: that is the row which
    planning reads, and a sum over rows of either target counts it once.

    Raises:
        ValueError: A forecast has not ``horizon`` weeks of five quantiles, does not begin on a Monday, or
            has a value that is not finite or does not fit numeric(14,4). The message names the product.
    """
    every = [weeks for forecast in forecasts for weeks in _targets(forecast)]
    rows = len(every) * horizon
    if not rows:
        return HEADER + TRAILER
    quantiles = _checked([(one.forecast, one.target, one.quantiles) for one in every], horizon)
    direct = np.full(quantiles.shape, np.nan)
    given = {number: one.direct for number, one in enumerate(every) if one.direct is not None}
    if given:
        named = [(every[number].forecast, "direct revenue", values) for number, values in given.items()]
        direct[list(given)] = _checked(named, horizon)
    columns = [
        texts(_ids(execucao_id, every, horizon)),
        texts(np.full(rows, execucao_id.encode())),
        texts(_repeated([one.forecast.product_id for one in every], horizon)),
        dates(np.concatenate([_mondays(one.forecast.first_week, horizon)[0] for one in every])),
        integers(np.full(rows, horizon)),
        texts(_repeated([one.forecast.variant.modelo for one in every], horizon)),
        texts(_repeated([one.target for one in every], horizon)),
        *(numerics(column) for column in quantiles.reshape(rows, -1).T),
        *(numerics(column) for column in direct.reshape(rows, -1).T[_DIRECT]),
    ]
    return copy_form(columns)


def _targets(forecast: ProductForecast) -> Iterator[_Weeks]:
    _check_first_week(forecast)
    yield _Weeks(forecast, TargetType.VOLUME, forecast.volume, forecast.direct_revenue)
    if forecast.revenue is not None:
        yield _Weeks(forecast, TargetType.FATURAMENTO, forecast.revenue, None)


def _ids(execucao_id: str, every: Sequence[_Weeks], horizon: int) -> npt.NDArray[np.bytes_]:
    """Ids of all rows, see ``row_id_stem``: one stem for each target of each product."""
    stems = _repeated(
        [row_id_stem(execucao_id, "result", one.forecast.product_id, one.target) for one in every], horizon
    )
    ordinals = np.concatenate([_mondays(one.forecast.first_week, horizon)[1] for one in every])
    return np.char.add(stems, ordinals)


@lru_cache(maxsize=8)
def _mondays(first_week: date, horizon: int) -> tuple[npt.NDArray[np.datetime64], npt.NDArray[np.bytes_]]:
    """Each week, and the end of its row's id: the same for nearly all products of a chunk."""
    mondays = [first_week + timedelta(weeks=week) for week in range(horizon)]
    ends = [f"{monday.toordinal():06x}".encode() for monday in mondays]
    return np.array(mondays, dtype="datetime64[D]"), np.array(ends)


def _repeated(values: Sequence[str], times: int) -> npt.NDArray[np.bytes_]:
    return np.repeat(np.array([value.encode() for value in values]), times)


def _check_first_week(forecast: ProductForecast) -> None:
    if forecast.first_week.weekday() != 0:
        raise ValueError(
            f"product {forecast.product_id}: the first week {forecast.first_week} begins on a "
            f"{forecast.first_week:%A}, expected a Monday"
        )


def _checked(given: Sequence[tuple[ProductForecast, str, FloatArray]], horizon: int) -> FloatArray:
    """Quantiles ``(n, horizon, 5)`` that the table can hold."""
    for forecast, target, quantiles in given:
        if quantiles.shape != (horizon, 5):
            found = f"{target} has the shape {quantiles.shape}, expected {(horizon, 5)}"
            raise ValueError(f"product {forecast.product_id}: {found}")
    every = np.stack([quantiles for _, _, quantiles in given])
    # Written so that NaN, which compares false with everything, is refused as well.
    fits = np.abs(every) < _LIMIT
    if not fits.all():
        at = tuple(np.argwhere(~fits)[0])
        forecast, target, _ = given[at[0]]
        found = f"{target} has the value {every[at]}, which numeric(14,4) cannot hold"
        raise ValueError(f"product {forecast.product_id}: {found}")
    return every
