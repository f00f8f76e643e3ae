"""Sample sales as rows of the shared tables, with classes computed by the service's own rules."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from consumer.forecasting.classification import WINDOW_WEEKS, abc_classes, demand_shapes
from consumer.forecasting.gapless import histories
from consumer.forecasting.types import WeeklySales
from schemas.enums import ClasseABC, ClasseXYZ, Granularidade, PadraoDemanda

if TYPE_CHECKING:
    import polars as pl

    from consumer.demo.sample_sales import SampleSales

Rows = list[tuple[Any, ...]]

# Every product has a place by coverage, the best at 0. These are different on purpose, so that a demo goes
# through the rarer paths as well:
DAILY_EVERY: Final = 50  # places 0, 50, …: daily rows instead of weekly ones, summed by the service's SQL
UNCLASSIFIED_EVERY: Final = 20  # places 10, 30, …: no classification, the service makes one on the fly
SUGGESTED_EVERY: Final = 50  # places 25, 75, …: a planner suggests a model, which overrides the table
SUGGESTION: Final = "ETS"

USER_EMAIL: Final = "planner@example.com"
_IDS: Final = uuid.UUID("5b6c2f43-26a5-5f8e-9d4e-3f0f7a1c9b52")
_FOUR_PLACES: Final = Decimal("0.0001")
_CV_MAXIMUM: Final = 99.9999


@dataclass(frozen=True, slots=True)
class SampleClass:
    """Classification of one product: share of revenue in percent, coefficient of variation of weekly volume."""

    classe_abc: ClasseABC
    classe_xyz: ClasseXYZ
    padrao_demanda: PadraoDemanda
    revenue_percent: float
    cv: float


def sample_id(kind: str, name: object) -> str:
    """The same id for the same thing in every demo, as text."""
    return str(uuid.uuid5(_IDS, f"{kind}:{name}"))


def classify(sales: SampleSales) -> list[SampleClass]:
    """Classify the products, in their order, by the rules that the service applies on the fly.

    The last 52 weeks up to the newest week of any product count.
    """
    weekly = _as_arrays(sales)
    shapes = demand_shapes(weekly, sales.last_week)
    revenue: dict[str, float] = {}
    variation: dict[str, float] = {}
    for product_id, history in histories(weekly, sales.last_week).usable.items():
        revenue[product_id] = float(history.revenue[-WINDOW_WEEKS:].sum())
        volume = history.volume[-WINDOW_WEEKS:]
        variation[product_id] = float(volume.std() / volume.mean()) if volume.any() else 0.0
    classes = abc_classes(revenue)
    total = sum(revenue.values())
    return [
        SampleClass(
            classes[name],
            shapes[name].classe_xyz,
            shapes[name].padrao_demanda,
            100 * revenue[name] / total,
            min(variation[name], _CV_MAXIMUM),
        )
        for name in weekly.product_ids
    ]


def product_rows(sales: SampleSales) -> Rows:
    """Rows of ``produto``: id, codigo, descricao, tipo_produto, preco_venda, updated_at."""
    return [
        (sample_id("produto", source), f"CJ-{source}", description, "REVENDA", _decimal(price), as_of(sales))
        for source, description, price in sales.products.select("source_id", "description", "list_price").iter_rows()
    ]


def series_rows(sales: SampleSales) -> Rows:
    """Rows of ``serie_temporal``: id, produto_id, data_referencia, granularidade, volume, receita, fonte."""
    daily_ids = sales.products["source_id"].gather_every(DAILY_EVERY).implode()
    daily = sales.daily.filter(sales.daily["source_id"].is_in(daily_ids))
    weekly = sales.weekly.filter(~sales.weekly["source_id"].is_in(daily_ids))
    return [*_series(weekly, Granularidade.SEMANAL), *_series(daily, Granularidade.DIARIO)]


def classification_rows(sales: SampleSales) -> Rows:
    """Rows of ``sku_classification`` for the products that have one.

    id, produto_id, classe_abc, classe_xyz, padrao_demanda, modelo_forecast_sugerido, percentual_receita,
    cv_demanda, calculado_em, updated_at.
    """
    moment = as_of(sales)
    rows: Rows = []
    for place, (source, found) in enumerate(zip(sales.products["source_id"], classify(sales), strict=True)):
        if place % UNCLASSIFIED_EVERY == UNCLASSIFIED_EVERY // 2:
            continue
        suggestion = SUGGESTION if place % SUGGESTED_EVERY == SUGGESTED_EVERY // 2 else None
        classes = (str(found.classe_abc), str(found.classe_xyz), str(found.padrao_demanda))
        numbers = (_decimal(min(found.revenue_percent, _CV_MAXIMUM)), _decimal(found.cv))
        ids = (sample_id("classification", source), sample_id("produto", source))
        rows.append((*ids, *classes, suggestion, *numbers, moment, moment))
    return rows


def user_rows(sales: SampleSales) -> Rows:
    """The one row of ``usuario``: id, email, nome, senha_hash (no password fits it), role, updated_at."""
    return [(sample_id("usuario", USER_EMAIL), USER_EMAIL, "Demo planner", "!", "manager", as_of(sales))]


def as_of(sales: SampleSales) -> datetime:
    """The moment at which the sample is current: the Monday after the last week."""
    return datetime.combine(sales.last_week + timedelta(days=7), time(), UTC)


def _series(frame: pl.DataFrame, granularity: Granularidade) -> Rows:
    kind = str(granularity)
    return [
        (
            sample_id(kind, f"{source}:{day}"),
            sample_id("produto", source),
            day,
            kind,
            _decimal(volume),
            _decimal(revenue),
            "completejourney",
        )
        for source, day, volume, revenue in frame.iter_rows()
    ]


def _as_arrays(sales: SampleSales) -> WeeklySales:
    sources = sales.products["source_id"].to_list()
    place = {source: index for index, source in enumerate(sources)}
    product = np.array([place[source] for source in sales.weekly["source_id"]], dtype=np.int64)
    order = np.argsort(product, kind="stable")
    return WeeklySales(
        tuple(str(source) for source in sources),
        product[order],
        sales.weekly["week"].to_numpy().astype("datetime64[D]")[order],
        sales.weekly["volume"].to_numpy()[order],
        sales.weekly["revenue"].to_numpy()[order],
    )


def _decimal(value: float | None) -> Decimal | None:
    return None if value is None else Decimal(str(value)).quantize(_FOUR_PLACES)
