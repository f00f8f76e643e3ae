from __future__ import annotations

import struct
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from consumer.db.repositories.time_series_repo import TimeSeriesRepository
from consumer.forecasting.types import ProductOverview
from tests.unit.db.sessions import driver_of, session_answering

if TYPE_CHECKING:
    from unittest.mock import AsyncMock

EPOCH = date(1970, 1, 1)
MONDAY = date(2026, 1, 5)


def copied(*rows: tuple[int, date, float, float]) -> bytes:
    """Rows as PostgreSQL sends them in COPY's binary format."""
    header = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
    body = b"".join(
        struct.pack("!hiiiiidid", 4, 4, place, 4, (week - EPOCH).days, 8, volume, 8, revenue)
        for place, week, volume, revenue in rows
    )
    return header + body + struct.pack("!h", -1)


def answering(*rows: tuple[int, date, float, float]) -> tuple[AsyncMock, AsyncMock]:
    session = session_answering()
    driver = driver_of(session)

    async def copy(*_: Any, output: Any, **__: Any) -> str:
        output.write(copied(*rows))
        return f"COPY {len(rows)}"

    driver.copy_from_query.side_effect = copy
    return session, driver


async def test_binary_rows_become_sorted_arrays() -> None:
    """Records in any order become arrays by product and week, and records of one week become one."""
    tuesday_week = date(2026, 1, 12)
    session, _ = answering((1, MONDAY, 4, 40), (0, tuesday_week, 2, 20), (0, MONDAY, 1, 10), (0, MONDAY, 0.5, 5))
    sales = await TimeSeriesRepository(session).weekly_sales(["a", "b"])
    assert sales.product.tolist() == [0, 0, 1]
    assert sales.week.tolist() == [MONDAY, tuesday_week, MONDAY]
    assert sales.volume.tolist() == [1.5, 2, 4]
    assert sales.revenue.tolist() == [15, 20, 40]


async def test_no_rows_are_empty_arrays() -> None:
    """Products without rows give arrays of length zero that still name the products."""
    session, _ = answering()
    sales = await TimeSeriesRepository(session).weekly_sales(["a"])
    assert sales.product_ids == ("a",)
    assert [len(array) for array in (sales.product, sales.week, sales.volume, sales.revenue)] == [0] * 4


@pytest.mark.parametrize(
    ("start", "end", "asked"),
    [
        (None, None, (date.min, date.max)),
        (MONDAY, MONDAY, (MONDAY, date(2026, 1, 11))),
        (date(2026, 1, 11), date(2026, 1, 14), (MONDAY, date(2026, 1, 18))),
    ],
)
async def test_whole_weeks_are_asked_for(start: date | None, end: date | None, asked: tuple[date, date]) -> None:
    """A range is widened to the Monday before and the Sunday after it."""
    session, driver = answering()
    await TimeSeriesRepository(session).weekly_sales(["a"], start, end)
    assert driver.copy_from_query.await_args.args[1:] == (["a"], *asked)


async def test_overview_reads_all_products_or_some() -> None:
    """The ids are a parameter when products are named, and no condition when all are wanted."""
    row = ("a", MONDAY, MONDAY, 10.0)
    session = session_answering(rows=[row])
    assert await TimeSeriesRepository(session).overview() == [ProductOverview(*row)]
    assert await TimeSeriesRepository(session).overview(["a"]) == [ProductOverview(*row)]
    everything, some = session.execute.await_args_list
    assert everything.args[1] == {}
    assert "ANY(:ids)" not in str(everything.args[0])
    assert some.args[1] == {"ids": ["a"]}
    assert "ANY(:ids)" in str(some.args[0])


async def test_newest_week_is_what_the_database_says() -> None:
    """The one value of the query is the answer."""
    assert await TimeSeriesRepository(session_answering(scalar=MONDAY)).newest_week() == MONDAY
