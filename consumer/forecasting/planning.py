"""What an execution will compute, decided before any model runs: models per product, products per chunk."""

from __future__ import annotations

from itertools import count, groupby
from math import ceil
from typing import TYPE_CHECKING, Any, Final

from consumer.forecasting.classification import UNKNOWN_SHAPE, DemandShape, abc_classes
from consumer.forecasting.quantiles import SHORT_WEEKS
from consumer.forecasting.selection import AVAILABLE, Selection, select
from consumer.forecasting.types import PlannedChunk, PlannedProduct, Variant
from schemas.enums import ClasseABC, ClasseXYZ, ModeloForecast, PadraoDemanda

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date

    from consumer.forecasting.choices import Choices
    from consumer.forecasting.types import ProductOverview, ProductProfile

NO_SALES: Final = "no sales"
WORTH_A_CHUNK: Final = 25  # products whose models take longer than the transaction of a chunk
_TFT_STEP, _ETS_STEP, _CROSTON_STEP, _LGBM_STEP = 3, 4, 5, 6
_STEPS: Final[Mapping[ModeloForecast, int]] = {
    ModeloForecast.TFT: _TFT_STEP,
    ModeloForecast.ETS: _ETS_STEP,
    ModeloForecast.CROSTON: _CROSTON_STEP,
    ModeloForecast.LGBM: _LGBM_STEP,
    ModeloForecast.ENSEMBLE: _LGBM_STEP,
}


def unclassified(profiles: Iterable[ProductProfile]) -> tuple[str, ...]:
    """Ids of products whose regularity must be computed (``demand_shapes``) before they can be planned."""
    return tuple(
        profile.product_id for profile in profiles if profile.classe_xyz is None or profile.padrao_demanda is None
    )


def plan_products(
    profiles: Sequence[ProductProfile],
    overviews: Mapping[str, ProductOverview],
    shapes: Mapping[str, DemandShape],
    *,
    as_of: date,
    modelo: ModeloForecast | None = None,
    available: frozenset[Variant] = AVAILABLE,
    choices: Choices | None = None,
    automatic: bool = True,
) -> tuple[PlannedProduct, ...]:
    """Choose classes and models of every product of an execution, in the order of ``profiles``.

    Args:
        profiles: The products asked for.
        overviews: By product id, of every product with sales, also those not asked for: revenue classes that
            are computed here are shares of them all. For train and backtest of the sales before the holdout.
        shapes: By product id, of the ``unclassified`` products; likewise without the holdout.
        as_of: Newest week that any product has. A product's age counts to here also for train and backtest:
            they measure the models that a predict would use, and age tells nothing of the demand held out.
        modelo: The command's override.
        available: Variants that this installation can run.
        choices: What the last train found to be better than the table.
        automatic: Whether to follow it. An override of the command or the product stands above it in any case.
    """
    stored = all(profile.classe_abc is not None for profile in profiles)
    computed = {} if stored else abc_classes({key: item.revenue_52_weeks for key, item in overviews.items()})
    planned: list[PlannedProduct] = []
    for profile in profiles:
        product_id, overview = profile.product_id, overviews.get(profile.product_id)
        abc, xyz, pattern = _classified(profile, shapes.get(product_id, UNKNOWN_SHAPE), computed)
        choice = Selection((), NO_SALES)
        if overview is not None:
            weeks = (as_of - overview.first_sale).days // 7 + 1
            suggested = profile.modelo_sugerido
            choice = select(pattern, abc, weeks, suggested=suggested, modelo=modelo, available=available)
            if choices is not None and automatic and not choice.overridden and weeks >= SHORT_WEEKS:
                better = choices.better(f"{pattern}/{abc}", choice.models[0], tft=Variant.TFT in available)
                choice = _by_evidence(choice, better)
        planned.append(_planned(profile, (abc, xyz, pattern), choice))
    return tuple(planned)


def plan_chunks(products: Sequence[PlannedProduct], chunk_size: int, side_by_side: int = 1) -> tuple[PlannedChunk, ...]:
    """Cut products into chunks of one step each, numbered from 0; the order of ``products`` does not matter.

    Nothing that is computed depends on how products are cut.

    Args:
        products: Of the whole execution, ids unique.
        chunk_size: Most products of one chunk.
        side_by_side: Chunks that are computed at once: a step is cut so that all of them have work until its end.

    Raises:
        ValueError: ``chunk_size`` is below 1.
    """
    if chunk_size < 1:
        raise ValueError(f"chunk_size is {chunk_size}, it must be at least 1")
    ordered = sorted(products, key=lambda product: (step_order(product), product.product_id))
    numbers = count()
    chunks: list[PlannedChunk] = []
    for step, group in groupby(ordered, key=step_order):
        members = tuple(group)
        size = _even_size(len(members), chunk_size, side_by_side)
        chunks += [
            PlannedChunk(next(numbers), step, members[start : start + size]) for start in range(0, len(members), size)
        ]
    return tuple(chunks)


def _even_size(products: int, most: int, side_by_side: int) -> int:
    """Products of a chunk, so that every round is full; but none so small that its commit outweighs it."""
    rounds = ceil(products / (most * side_by_side))
    return max(ceil(products / (rounds * side_by_side)), min(WORTH_A_CHUNK, most))


def step_order(product: PlannedProduct) -> int:
    """Order (3..6) of the step that computes a product: that of its first model."""
    return _STEPS[product.models[0].modelo] if product.models else _ETS_STEP


def products_to_json(products: Iterable[PlannedProduct]) -> list[list[Any]]:
    """Write planned products as compact JSON arrays, read back by ``products_from_json``."""
    return [
        [
            product.product_id,
            product.classe_abc + product.classe_xyz,
            product.padrao_demanda,
            list(product.models),
            product.reason,
            product.preco_venda,
            product.fallback,
        ]
        for product in products
    ]


def products_from_json(values: Iterable[Sequence[Any]]) -> tuple[PlannedProduct, ...]:
    """Read what ``products_to_json`` wrote.

    Raises:
        ValueError: A class, pattern or model is unknown, or an array has another length.
    """
    return tuple(_from_json(value) for value in values)


def _from_json(value: Sequence[Any]) -> PlannedProduct:
    product_id, classes, pattern, models, reason, preco_venda, fallback = value
    return PlannedProduct(
        product_id,
        ClasseABC(classes[0]),
        ClasseXYZ(classes[1]),
        PadraoDemanda(pattern),
        tuple(Variant(model) for model in models),
        reason,
        preco_venda,
        fallback,
    )


def _by_evidence(choice: Selection, better: Variant | None) -> Selection:
    """Put the better model first; the planned ones stay behind it as its fallbacks."""
    if better is None:
        return choice
    models = tuple(dict.fromkeys((better, *choice.models)))
    return Selection(models, f"backtest: {better} instead of {choice.models[0]} ({choice.reason})")


def _planned(
    profile: ProductProfile, classes: tuple[ClasseABC, ClasseXYZ, PadraoDemanda], choice: Selection
) -> PlannedProduct:
    price = profile.preco_venda
    return PlannedProduct(profile.product_id, *classes, choice.models, choice.reason, price, choice.fallback)


def _classified(
    profile: ProductProfile, shape: DemandShape, computed: Mapping[str, ClasseABC]
) -> tuple[ClasseABC, ClasseXYZ, PadraoDemanda]:
    """Stored classes where there are any, else the computed ones."""
    abc = profile.classe_abc or computed.get(profile.product_id, ClasseABC.C)
    return abc, profile.classe_xyz or shape.classe_xyz, profile.padrao_demanda or shape.padrao_demanda
