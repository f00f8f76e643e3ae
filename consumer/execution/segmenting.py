"""Step 2: classes from the database, computed where there are none; models by overrides, evidence and the table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from consumer.execution.lanes import side_by_side
from consumer.forecasting.classification import DemandShape, demand_shapes
from consumer.forecasting.planning import plan_products, unclassified
from consumer.forecasting.types import ProductFailure, ProductOverview, WeeklySales

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import date

    from consumer.execution.run import Run
    from consumer.forecasting.choices import Choices
    from consumer.forecasting.types import PlannedProduct, ProductProfile, Variant
    from schemas.enums import ModeloForecast

SHAPE_BLOCK: Final = 1000  # products whose sales are read, and classified, in one call


@dataclass(frozen=True, slots=True)
class Segments:
    """Everything that models are chosen by, of the products asked for; ``unknown`` ones have no row in ``produto``."""

    profiles: tuple[ProductProfile, ...]
    overviews: dict[str, ProductOverview]
    shapes: dict[str, DemandShape]
    unknown: tuple[ProductFailure, ...]
    as_of: date

    def plan(
        self,
        available: frozenset[Variant],
        *,
        modelo: ModeloForecast | None = None,
        choices: Choices | None = None,
        automatic: bool = True,
    ) -> tuple[PlannedProduct, ...]:
        """Classes and models of every product; see ``plan_products``."""
        evidence: Any = {} if choices is None else {"choices": choices, "automatic": automatic}
        return plan_products(
            self.profiles,
            self.overviews,
            self.shapes,
            as_of=self.as_of,
            modelo=modelo,
            available=available,
            **evidence,
        )


async def segment(run: Run, as_of: date, overviews: dict[str, ProductOverview]) -> Segments:
    """Classify the products asked for by what was known before the weeks that are held out.

    Args:
        overviews: Of the products asked for, or of all.

    Raises:
        DrainingError: The process shuts down.
    """
    wanted = run.claim.command.produto_ids or tuple(overviews)
    profiles = await run.sales.profiles(wanted)
    known = tuple(profiles[product_id] for product_id in wanted if product_id in profiles)
    unknown = tuple(
        ProductFailure(product_id, "unknown-product", f"produto has no row with id {product_id!r}")
        for product_id in wanted
        if product_id not in profiles
    )
    learned_until = run.classified_until(as_of)
    of_all = run.claim.command.produto_ids is None and learned_until == as_of
    if not of_all and any(profile.classe_abc is None for profile in known):
        overviews = await _with_revenue_of_all(run, overviews, learned_until)
    read = run.kept.read_first if learned_until == as_of else run.sales.weekly_sales
    shapes = await _shapes(run, unclassified(known), learned_until, read)
    return Segments(known, overviews, shapes, unknown, as_of)


async def _with_revenue_of_all(
    run: Run, overviews: dict[str, ProductOverview], until: date
) -> dict[str, ProductOverview]:
    """Classes are shares of all products' revenue, and know nothing of the weeks that are held out."""
    everything = {entry.product_id: entry for entry in await run.sales.overview(None, until)}
    asked = {
        name: replace(entry, revenue_52_weeks=everything[name].revenue_52_weeks if name in everything else 0.0)
        for name, entry in overviews.items()
    }
    return everything | asked


async def _shapes(
    run: Run, product_ids: Sequence[str], until: date, read: Callable[[Sequence[str], date], Awaitable[WeeklySales]]
) -> dict[str, DemandShape]:
    shapes: dict[str, DemandShape] = {}

    async def one(block: Sequence[str]) -> None:
        sales = await read(block, until)
        shapes.update(await run.compute.run(_shapes_of, (sales, until)))

    starts = range(0, len(product_ids), SHAPE_BLOCK)
    await side_by_side(run, [product_ids[start : start + SHAPE_BLOCK] for start in starts], one)
    return shapes


def _shapes_of(request: tuple[WeeklySales, date]) -> dict[str, DemandShape]:
    return demand_shapes(*request)
