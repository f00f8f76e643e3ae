from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from consumer.demo import sample_sales
from consumer.demo.sample_sales import SampleDataError, SampleSales, read_sales


def test_only_complete_weeks_are_kept(sales: SampleSales) -> None:
    """The Sunday that opens the data and the hours of the last Monday are left out; 52 Mondays remain."""
    assert (sales.first_week, sales.last_week) == (date(2017, 1, 2), date(2017, 12, 25))
    weeks = sales.weekly["week"].unique().sort().to_list()
    assert len(weeks) == 52
    assert {week.weekday() for week in weeks} == {0}
    assert sales.daily["day"].min() == date(2017, 1, 2)
    assert sales.daily["day"].max() == date(2017, 12, 31)


def test_products_are_the_best_covered(sales: SampleSales) -> None:
    """Products come by weeks with sales, then revenue, and each that was asked for is there once."""
    order = sales.products.select("weeks", "revenue").rows()
    assert len(order) == 60
    assert order == sorted(order, reverse=True)
    assert sales.products["source_id"].n_unique() == 60
    sold = sales.weekly.filter(pl.col("volume") > 0).group_by("source_id").len()
    assert sold.join(sales.products, on="source_id").filter(pl.col("len") != pl.col("weeks")).is_empty()


def test_weekly_sales_are_what_the_tills_recorded(sales: SampleSales) -> None:
    """Volume and revenue of a product's week equal the sum over its purchases in that week."""
    source, week, volume, revenue = sales.weekly.row(100)
    taken = pl.read_parquet(sample_sales._file("transactions")).filter(
        pl.col("product_id") == source, pl.col("transaction_timestamp").dt.truncate("1w").dt.date() == week
    )
    assert volume == taken["quantity"].sum()
    assert revenue == pytest.approx(taken["sales_value"].sum())


def test_weeks_and_days_add_up_to_the_same(sales: SampleSales) -> None:
    """The daily rows of every product sum up to its weekly rows."""
    weekly = sales.weekly.group_by("source_id").agg(pl.col("volume", "revenue").sum()).sort("source_id")
    daily = sales.daily.group_by("source_id").agg(pl.col("volume", "revenue").sum()).sort("source_id")
    assert weekly["volume"].to_list() == daily["volume"].to_list()
    assert weekly["revenue"].to_list() == pytest.approx(daily["revenue"].to_list())


def test_list_price_is_not_below_what_was_paid(sales: SampleSales) -> None:
    """The price before discounts is at least the average paid in the same 13 weeks with sales."""
    recent = sales.weekly.filter(pl.col("volume") > 0).group_by("source_id", maintain_order=True).tail(13)
    paid = recent.group_by("source_id").agg((pl.col("revenue").sum() / pl.col("volume").sum()).alias("paid"))
    both = sales.products.join(paid, on="source_id")
    assert both.height == 60
    assert both.filter(pl.col("list_price") < pl.col("paid") - 0.001).is_empty()
    assert both.filter(pl.col("list_price") > pl.col("paid") + 0.001).height > 30


def test_items_without_units_are_left_out(sales: SampleSales) -> None:
    """No product sells thousands of 'units' a week, as fuel booked in thousandths of a gallon would."""
    most = sales.weekly["volume"].max()
    assert isinstance(most, float)
    assert most < 2000


def test_no_products_is_refused() -> None:
    """The message names the value and what would be right."""
    with pytest.raises(ValueError, match="products is 0; at least 1"):
        read_sales(0)


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package, the message says what to install."""
    monkeypatch.setattr(sample_sales.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SampleDataError, match="pip install"):
        read_sales(5)
