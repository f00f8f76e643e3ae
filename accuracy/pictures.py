"""Pictures of forecasts beside what then happened: for each pattern the product of median size, chosen by no result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from accuracy.sales import HOLDOUT_WEEKS
from consumer.demo.pictures import draw
from consumer.demo.tables import PicturedForecast
from consumer.forecasting.calibration import PATTERNS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from accuracy.sales import Split
    from consumer.forecasting.types import FloatArray, PlannedProduct


def write_pictures(
    directory: Path, sales: Split, planned: Sequence[PlannedProduct], quantiles: FloatArray
) -> list[Path]:
    """Write an SVG for each pattern that has a product.

    Args:
        planned: The n products in the order of ``sales``.
        quantiles: ``(n, weeks, 5)`` units, forecast for the weeks held out.
    """
    directory.mkdir(parents=True, exist_ok=True)
    histories = sales.histories()
    size = np.array([history.sum() for history in histories])
    pattern_of = np.array([product.padrao_demanda for product in planned])
    written = []
    for pattern in PATTERNS:
        own = np.flatnonzero(pattern_of == pattern)
        if own.size:
            number = int(own[np.argsort(size[own], kind="stable")[own.size // 2]])
            path = directory / f"{pattern.lower()}.svg"
            path.write_text(
                draw(_pictured(sales, planned[number], histories[number], quantiles[number], number)) + "\n"
            )
            written.append(path)
    return written


def _pictured(
    sales: Split, product: PlannedProduct, known: FloatArray, quantiles: FloatArray, number: int
) -> PicturedForecast:
    after = np.datetime64(sales.as_of, "D") + 7 * np.arange(1, HOLDOUT_WEEKS + 1)
    before = np.datetime64(sales.as_of, "D") - 7 * np.arange(known.size)[::-1]
    sold = np.concatenate((known, sales.held_out[number]))
    model = product.models[0]
    name = f"product {product.product_id}"
    return PicturedForecast(
        name, str(product.padrao_demanda), str(model), np.concatenate((before, after)), sold, after, quantiles
    )
