from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from consumer.db.repositories.time_series_repo import TimeSeriesRepository
from schemas.enums import Granularidade

if TYPE_CHECKING:
    from consumer.db.database import Database
    from consumer.forecasting.types import ProductOverview, WeeklySales
    from tests.integration.db.seed import Seed

MONDAY = date(2026, 1, 5)
Rows = dict[tuple[str, Granularidade, date], tuple[int, int]]
Weeks = dict[tuple[str, date], tuple[float, float]]


def week(number: int) -> date:
    return MONDAY + timedelta(weeks=number)


def monday_of(day: date) -> date:
    return day - timedelta(days=day.weekday())


def as_weeks(sales: WeeklySales) -> Weeks:
    keys = zip((sales.product_ids[index] for index in sales.product), sales.week.tolist(), strict=True)
    return dict(zip(keys, zip(sales.volume.tolist(), sales.revenue.tolist(), strict=True), strict=True))


async def read(
    database: Database, products: list[str], start: date | None = None, end: date | None = None
) -> WeeklySales:
    async with database.session() as session:
        return await TimeSeriesRepository(session).weekly_sales(products, start, end)


async def overview(database: Database, products: list[str] | None = None) -> list[ProductOverview]:
    async with database.session() as session:
        return await TimeSeriesRepository(session).overview(products)


async def test_weekly_rows_come_as_sorted_arrays(database: Database, seed: Seed) -> None:
    """Rows come by the product's place in the request, then by week, as int64, days and float64."""
    await seed.products("a", "b")
    await seed.sales("a", [(week(1), 2.5, 20), (week(0), 1, 10)])
    await seed.sales("b", [(week(0), 3, 30)])
    sales = await read(database, ["b", "a"])
    assert sales.product_ids == ("b", "a")
    assert sales.product.tolist() == [0, 1, 1]
    assert sales.week.tolist() == [week(0), week(0), week(1)]
    assert sales.volume.tolist() == [3, 1, 2.5]
    assert sales.revenue.tolist() == [30, 10, 20]
    assert [array.dtype for array in (sales.product, sales.week, sales.volume)] == [
        np.dtype("int64"),
        np.dtype("datetime64[D]"),
        np.dtype("float64"),
    ]


async def test_daily_rows_are_summed_where_no_weekly_row_is(database: Database, seed: Seed) -> None:
    """A week without a weekly row is the sum of its days, Monday to Sunday."""
    await seed.products("a")
    await seed.sales("a", [(week(0) + timedelta(days=day), 1, 2) for day in range(7)], Granularidade.DIARIO)
    await seed.sales("a", [(week(1), 5, 50)], Granularidade.DIARIO)
    assert as_weeks(await read(database, ["a"])) == {("a", week(0)): (7, 14), ("a", week(1)): (5, 50)}


async def test_weekly_row_wins_over_daily_rows(database: Database, seed: Seed) -> None:
    """A weekly row counts alone, even one dated inside the week, and only for its own product and week."""
    await seed.products("a", "b")
    await seed.sales("a", [(week(0) + timedelta(days=3), 100, 1000)])
    for product in ("a", "b"):
        await seed.sales(product, [(week(0), 1, 10), (week(1), 2, 20)], Granularidade.DIARIO)
    assert as_weeks(await read(database, ["a", "b"])) == {
        ("a", week(0)): (100, 1000),
        ("a", week(1)): (2, 20),
        ("b", week(0)): (1, 10),
        ("b", week(1)): (2, 20),
    }


async def test_monthly_rows_are_ignored(database: Database, seed: Seed) -> None:
    """No share of a month belongs to a week for certain."""
    await seed.products("a")
    await seed.sales("a", [(week(0), 400, 4000)], Granularidade.MENSAL)
    assert as_weeks(await read(database, ["a"])) == {}
    assert await overview(database) == []


async def test_several_weekly_rows_of_a_week_add_up(database: Database, seed: Seed) -> None:
    """A series that changed its weekday has two rows in one week: both were sold."""
    await seed.products("a")
    await seed.sales("a", [(week(0), 1, 10), (week(0) + timedelta(days=6), 2, 20), (week(1), 4, 40)])
    assert as_weeks(await read(database, ["a"])) == {("a", week(0)): (3, 30), ("a", week(1)): (4, 40)}


async def test_range_is_widened_to_whole_weeks(database: Database, seed: Seed) -> None:
    """A range that begins and ends within weeks never cuts one in two."""
    await seed.products("a")
    days = [(week(0) + timedelta(days=day), 1, 1) for day in range(28)]
    await seed.sales("a", days, Granularidade.DIARIO)
    sales = await read(database, ["a"], start=week(1) + timedelta(days=6), end=week(2))
    assert as_weeks(sales) == {("a", week(1)): (7, 7), ("a", week(2)): (7, 7)}


async def test_unknown_and_silent_products_give_empty_arrays(database: Database, seed: Seed) -> None:
    """Products without rows are no error; neither is asking for nobody, nor an id full of quotes."""
    await seed.products("silent")
    assert len((await read(database, ["silent", "nobody", "it's \\ $1 {,}"])).week) == 0
    assert len((await read(database, [])).week) == 0


async def test_overview_counts_52_weeks_up_to_anybodys_newest_week(database: Database, seed: Seed) -> None:
    """Revenue counts the 52 weeks that end with the newest week of any product; the first sale may be far earlier."""
    await seed.products("old", "new")
    await seed.sales("old", [(week(-60), 1, 1000), (week(-52), 1, 100), (week(-51), 1, 10)])
    await seed.sales("new", [(week(-1), 0, 0), (week(0), 2, 1)])
    old, new = sorted(await overview(database), key=lambda product: product.product_id, reverse=True)
    assert (old.first_sale, old.newest_week, old.revenue_52_weeks) == (week(-60), week(-51), 10)
    assert (new.first_sale, new.newest_week, new.revenue_52_weeks) == (week(0), week(0), 1)
    assert await overview(database, ["old"]) == [old]


async def test_product_that_never_sold_begins_with_its_first_row(database: Database, seed: Seed) -> None:
    """Rows without any sale are a history of zeros, not a product without data."""
    await seed.products("never")
    await seed.sales("never", [(week(0), 0, 0), (week(1), -1, -5)])
    assert [product.first_sale for product in await overview(database)] == [week(0)]


async def test_overview_is_sorted_by_id_whatever_the_locale(database: Database, seed: Seed) -> None:
    """Ids sort as Python sorts them, so that two databases plan the same chunks."""
    ids = ["b", "B", "a-1", "a1", "ä"]
    await seed.products(*ids)
    for product in ids:
        await seed.sales(product, [(week(0), 1, 1)])
    assert [product.product_id for product in await overview(database)] == sorted(ids)


async def test_newest_week_is_a_monday_or_none(database: Database, seed: Seed) -> None:
    """The newest week is the Monday of the newest row that is not monthly, and None in an empty table."""
    async with database.session() as session:
        assert await TimeSeriesRepository(session).newest_week() is None
    await seed.products("a")
    await seed.sales("a", [(week(0) + timedelta(days=6), 1, 1)], Granularidade.DIARIO)
    await seed.sales("a", [(week(9), 1, 1)], Granularidade.MENSAL)
    async with database.session() as session:
        assert await TimeSeriesRepository(session).newest_week() == week(0)


def plain_weeks(rows: Rows) -> Weeks:
    """The rule in plain Python: of a product's week the weekly rows if there are any, else the daily ones."""
    sums: dict[tuple[str, date], dict[Granularidade, tuple[float, float]]] = defaultdict(dict)
    for (product, kind, day), (volume, revenue) in rows.items():
        of_week = sums[product, monday_of(day)]
        before = of_week.get(kind, (0.0, 0.0))
        of_week[kind] = (before[0] + volume, before[1] + revenue)
    chosen = {key: kinds.get(Granularidade.SEMANAL, kinds.get(Granularidade.DIARIO)) for key, kinds in sums.items()}
    return {key: sums_ for key, sums_ in chosen.items() if sums_ is not None}


DAYS = st.integers(0, 34).map(lambda offset: date(2024, 12, 16) + timedelta(days=offset))
ROWS = st.dictionaries(
    st.tuples(st.sampled_from("abc"), st.sampled_from(Granularidade), DAYS),
    st.tuples(st.integers(-50, 1000), st.integers(-50, 1000)),
    max_size=40,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, start=st.none() | DAYS, end=st.none() | DAYS)
async def test_aggregation_equals_the_rule_in_plain_python(
    database: Database, seed: Seed, rows: Rows, start: date | None, end: date | None
) -> None:
    """For any rows and range, the query gives what the rule, written down in Python, gives."""
    async with database.transaction() as session:
        await session.execute(text("TRUNCATE produto CASCADE"))
    await seed.products("a", "b", "c")
    for product, kind in {key[:2] for key in rows}:
        of_kind = [(key[2], *sold) for key, sold in rows.items() if key[:2] == (product, kind)]
        await seed.sales(product, of_kind, kind)
    expected = {
        (product, monday): sums
        for (product, monday), sums in plain_weeks(rows).items()
        if (start is None or monday >= monday_of(start)) and (end is None or monday <= end)
    }
    assert as_weeks(await read(database, ["a", "b", "c"], start, end)) == expected
