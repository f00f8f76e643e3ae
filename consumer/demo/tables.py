"""What the demo prints: accuracy per class against the moving average, and some products' forecasts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from rich.table import Table
from sqlalchemy import text

from consumer.db.repositories.forecast_repo import ForecastRepository
from consumer.db.repositories.time_series_repo import TimeSeriesRepository
from schemas.enums import TargetType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from consumer.forecasting.types import FloatArray, WeekArray

# Of each class and pattern the product that sells most: a picture of each kind, not of the best-looking.
_CHOOSE: Final = text("""
    SELECT produto_id FROM (
        SELECT DISTINCT ON (c.classe_abc, c.padrao_demanda)
               f.produto_id, c.classe_abc, c.padrao_demanda, sum(f.p50) AS volume
          FROM forecast_resultado AS f JOIN sku_classification AS c USING (produto_id)
         WHERE f.execucao_id = :execucao_id AND f.target_type = 'VOLUME'
         GROUP BY f.produto_id, c.classe_abc, c.padrao_demanda
         ORDER BY c.classe_abc, c.padrao_demanda, volume DESC, f.produto_id) AS kind
     ORDER BY classe_abc, padrao_demanda LIMIT :limit""")


@dataclass(frozen=True, slots=True)
class PicturedForecast:
    """One product: its name, its history and its forecast; ``quantiles`` is ``(weeks ahead, 5)``."""

    name: str
    kind: str
    model: str
    weeks: WeekArray
    volume: FloatArray
    forecast_weeks: WeekArray
    quantiles: FloatArray


def accuracy_table(resumo: Mapping[str, Any]) -> Table:
    """Errors of the backtest, class by class, beside those of the 12-week moving average."""
    table = Table(title=f"backtest: the last {resumo['horizon_weeks']} weeks, not seen by the models")
    for heading in ("class", "products", "WAPE", "of the average", "pinball", "of the average", "p10-p90 covers"):
        table.add_column(heading, justify="left" if heading == "class" else "right")
    for name, entry in sorted(resumo["metrics"].items(), key=lambda item: (item[0] == "overall", item[0])):
        model, baseline = entry["model"], entry["baseline"]
        table.add_row(
            name,
            str(model["products"]),
            _percent(model["wape"]),
            _percent(baseline["wape"]),
            f"{model['pinball']:.3f}",
            f"{baseline['pinball']:.3f}",
            _percent(model["coverage_p10_p90"]),
        )
    return table


async def choose_products(session: AsyncSession, execucao_id: str, limit: int) -> list[str]:
    """Ids of products of different classes and patterns that were forecast."""
    return list(await session.scalars(_CHOOSE, {"execucao_id": execucao_id, "limit": limit}))


async def read_forecasts(session: AsyncSession, execucao_id: str, product_ids: Sequence[str]) -> list[PicturedForecast]:
    """History and volume forecast of products."""
    named = await session.execute(
        text("""
            SELECT p.id, p.descricao, c.classe_abc || ', ' || lower(c.padrao_demanda::text) AS kind
              FROM produto AS p JOIN sku_classification AS c ON c.produto_id = p.id WHERE p.id = ANY(:ids)"""),
        {"ids": list(product_ids)},
    )
    names = {row.id: (row.descricao, row.kind) for row in named}
    sales = await TimeSeriesRepository(session).weekly_sales(product_ids)
    rows = await ForecastRepository(session).results(execucao_id, product_ids)
    pictured = []
    for place, product_id in enumerate(product_ids):
        own = [row for row in rows if row.produto_id == product_id and row.target_type is TargetType.VOLUME]
        pictured.append(
            PicturedForecast(
                *names[product_id],
                model=own[0].modelo_usado,
                weeks=sales.week[sales.product == place],
                volume=sales.volume[sales.product == place],
                forecast_weeks=np.array([row.periodo for row in own], dtype="datetime64[D]"),
                quantiles=np.array([[row.p10, row.p25, row.p50, row.p75, row.p90] for row in own], dtype=float),
            )
        )
    return pictured


def forecast_table(forecasts: Sequence[PicturedForecast]) -> Table:
    """Each product's recent sales, and its next week and whole horizon in units: p50 and the band p10 to p90."""
    weeks = len(forecasts[0].forecast_weeks)
    table = Table(title="forecast of one product of each kind")
    table.add_column("product", no_wrap=True, max_width=13)
    for heading in ("kind", "model"):
        table.add_column(heading, no_wrap=True)
    for heading in ("4 weeks", "next", "p10-p90", f"{weeks} weeks"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.caption = f"units a week: average of the last 4, next week's p50 and its band; sum of the next {weeks}"
    for forecast in forecasts:
        first = forecast.quantiles[0]
        table.add_row(
            forecast.name,
            forecast.kind,
            forecast.model,
            f"{forecast.volume[-4:].mean():.0f}",
            f"{first[2]:.0f}",
            f"{first[0]:.0f}-{first[4]:.0f}",
            f"{forecast.quantiles[:, 2].sum():.0f}",
        )
    return table


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} %"
