"""The whole worker and relay, with neither sales nor models: what is left is the price of an execution itself."""

from __future__ import annotations

import asyncio
import sys
from datetime import date
from typing import TYPE_CHECKING, Any, Self

import numpy as np

import consumer.worker_role
from consumer.bootstrap import run_service
from consumer.cli.loading_code import kept_for_good
from consumer.forecasting.summary import Tally
from consumer.forecasting.types import (
    ChunkRequest,
    ChunkResult,
    ProductOverview,
    ProductProfile,
    Variant,
    WeeklySales,
)
from consumer.settings import Settings
from consumer.telemetry.logs import configure
from schemas.enums import ClasseABC, ClasseXYZ, PadraoDemanda

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

AS_OF = date(2026, 11, 16)


class NoSales:
    """``consumer.ports.sales.SalesReader`` that answers at once, without a database."""

    def __init__(self, *_: object) -> None:
        pass

    async def newest_week(self) -> date:
        """Some Monday."""
        return AS_OF

    async def overview(self, product_ids: Sequence[str] | None, until: date) -> list[ProductOverview]:
        """Every product sells."""
        del until
        return [ProductOverview(name, AS_OF, AS_OF, 1.0) for name in product_ids or ()]

    async def profiles(self, product_ids: Sequence[str] | None) -> dict[str, ProductProfile]:
        """Every product is classified, so that nothing is computed."""
        regular = (ClasseABC.A, ClasseXYZ.X, PadraoDemanda.REGULAR)
        return {name: ProductProfile(name, *regular) for name in product_ids or ()}

    async def weekly_sales(self, product_ids: Sequence[str], end: date) -> WeeklySales:
        """No row."""
        del end
        none = np.empty(0)
        return WeeklySales(tuple(product_ids), none.astype("i8"), none.astype("datetime64[D]"), none, none)


class NoCompute:
    """``consumer.ports.compute.Compute`` that computes nothing."""

    def __init__(self, *_: object) -> None:
        pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def warm_up(self) -> None:
        """Nothing to start."""

    async def run(self, _function: Callable[..., Any], request: ChunkRequest, *_: object) -> ChunkResult:
        """A chunk whose products went well and left no rows."""
        tally = Tally(products=len(request.products))
        tally.counters["models"][Variant.NAIVE] = len(request.products)
        return ChunkResult(summary=tally.to_json())


if __name__ == "__main__":
    consumer.worker_role.SqlSalesReader = NoSales  # type: ignore[misc,assignment]
    consumer.worker_role.ProcessCompute = NoCompute  # type: ignore[misc,assignment]
    configure("json", "info")
    with kept_for_good():  # as the command line starts the service
        service = run_service(Settings())
    sys.exit(asyncio.run(service))
