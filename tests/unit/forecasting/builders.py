from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Literal

import numpy as np

from consumer.forecasting.history import Rows
from consumer.forecasting.types import (
    ChunkRequest,
    FloatArray,
    PlannedProduct,
    ProductOverview,
    Variant,
    WeeklySales,
)
from schemas.enums import ClasseABC, ClasseXYZ, PadraoDemanda

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

AS_OF = date(2026, 11, 23)
LOCAL = tuple(sorted(set(Variant) - {Variant.TFT, Variant.LGBM, Variant.ENSEMBLE}))


def rows(volume: Sequence[float], price: float = 2.0, *, last: date = AS_OF, skip_zeros: bool = False) -> Rows:
    """Consecutive weeks that end with ``last``; without the weeks of zero volume if asked."""
    values = np.array(volume, dtype=np.float64)
    first = np.datetime64(last, "D") - 7 * (values.size - 1)
    week = first + 7 * np.arange(values.size)
    kept = values != 0 if skip_zeros else np.ones(values.size, dtype=bool)
    return Rows(week[kept], values[kept], values[kept] * price)


def sales(by_product: Mapping[str, Rows]) -> WeeklySales:
    parts = list(by_product.values()) or [rows([])]
    return WeeklySales(
        tuple(by_product),
        np.repeat(np.arange(len(by_product)), [part.week.size for part in by_product.values()]).astype(np.int64),
        np.concatenate([part.week for part in parts]),
        np.concatenate([part.volume for part in parts]),
        np.concatenate([part.revenue for part in parts]),
    )


def planned(
    product_id: str = "p",
    models: tuple[Variant, ...] = (Variant.SIMPLE_ETS, Variant.NAIVE),
    *,
    abc: ClasseABC = ClasseABC.A,
    price: float | None = None,
    fallback: str | None = None,
) -> PlannedProduct:
    return PlannedProduct(
        product_id, abc, ClasseXYZ.X, PadraoDemanda.REGULAR, models, "chosen by the test", price, fallback
    )


def request(
    histories: Mapping[str, Rows],
    products: Sequence[PlannedProduct] | None = None,
    *,
    task: Literal["train", "predict", "backtest"] = "predict",
    horizon: int = 13,
    seed: int = 7,
) -> ChunkRequest:
    plan = tuple(products) if products is not None else tuple(planned(name) for name in histories)
    return ChunkRequest(task, plan, sales(histories), AS_OF, horizon, seed)


def overview(product_id: str, weeks: int, revenue: float = 1.0) -> ProductOverview:
    return ProductOverview(product_id, AS_OF - timedelta(weeks=weeks - 1), AS_OF, revenue)


def noisy(weeks: int, level: float = 20.0, seed: int = 1, share_of_zeros: float = 0.0) -> FloatArray:
    rng = np.random.default_rng(seed)
    values = rng.poisson(level, weeks) * (rng.random(weeks) >= share_of_zeros)
    values[0] = level
    return values.astype(np.float64)
