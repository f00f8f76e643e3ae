"""Sales history as the forecasting domain wants it: weekly, in arrays, without an object per row."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from io import BytesIO
from typing import TYPE_CHECKING, Final

import numpy as np
from sqlalchemy import text

from consumer.db.driver import driver_connection
from consumer.db.repositories.weekly_sql import NEWEST_WEEK, weekly_rows
from consumer.forecasting.types import ProductOverview, WeeklySales

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

_ASKED_WEEKS: Final = weekly_rows(
    owner="place",
    # The array beside the join: with it the planner knows how few products are asked for.
    wanted="sold.produto_id = ANY($1::text[]) AND sold.data_referencia BETWEEN $2::date AND $3::date",
    source="asked JOIN serie_temporal AS sold USING (produto_id)",
)
_SERIES: Final = f"""
    WITH asked AS (SELECT * FROM unnest($1::text[]) WITH ORDINALITY AS id (produto_id, place))
    SELECT (place - 1)::int4, week - date '1970-01-01', volume::float8, receita::float8
    FROM ({_ASKED_WEEKS}) AS week_sold
"""  # noqa: S608 - constants only
# One record of COPY's binary format: the number of columns, and each column after its length.
_RECORD: Final = np.dtype(
    [
        ("columns", ">i2"),
        *(("product_length", ">i4"), ("product", ">i4")),
        *(("week_length", ">i4"), ("week", ">i4")),
        *(("volume_length", ">i4"), ("volume", ">f8")),
        *(("revenue_length", ">i4"), ("revenue", ">f8")),
    ]
)
_COPY_HEADER_BYTES: Final = 19
_OVERVIEW: Final = """
    WITH newest AS ({newest}), week_sold AS ({weeks})
    SELECT
        produto_id,
        coalesce(min(week_sold.week) FILTER (WHERE volume > 0), min(week_sold.week)) AS first_sale,
        max(week_sold.week) AS newest_week,
        coalesce(sum(receita) FILTER (WHERE week_sold.week > newest.week - 52 * 7), 0)::float8 AS revenue
    FROM week_sold CROSS JOIN newest
    GROUP BY produto_id
    ORDER BY produto_id COLLATE "C"
"""


class TimeSeriesRepository:
    """Reads ``serie_temporal`` by product and time.

    A week is the Monday it begins on. Where a product has a weekly row for a week, that is the week's sale;
    else the sum of its daily rows is. Monthly rows are ignored, as no share of them belongs to a week for
    certain.
    """

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def weekly_sales(
        self, product_ids: Sequence[str], start: date | None = None, end: date | None = None
    ) -> WeeklySales:
        """The weekly sales of some products.

        Read by COPY in its binary format, which numpy takes as it comes: about three times as fast as
        fetching rows.

        Args:
            product_ids: The products, each once; those without a row are simply never indexed in the result.
            start: A day of the first week, None for the beginning. Weeks are read whole.
            end: A day of the last week, None for the end.

        Raises:
            asyncpg.PostgresError: The query failed; likewise asyncpg's errors of a broken connection.
        """
        first = date.min if start is None else start - timedelta(days=start.weekday())
        last = date.max if end is None else end + timedelta(days=6 - end.weekday())
        connection = await driver_connection(self._session)
        buffer = BytesIO()
        try:
            status = await connection.copy_from_query(
                _SERIES, list(product_ids), first, last, output=buffer, format="binary"
            )
        except asyncio.CancelledError:
            # asyncpg may wait for ever for the end of a COPY that was cancelled, holding up who cancelled it.
            connection.terminate()
            await self._session.invalidate()
            raise
        records = np.frombuffer(
            buffer.getbuffer(), _RECORD, count=int(status.rpartition(" ")[2]), offset=_COPY_HEADER_BYTES
        )
        return _weekly_sales(tuple(product_ids), records)

    async def overview(
        self, product_ids: Sequence[str] | None = None, until: date | None = None
    ) -> list[ProductOverview]:
        """What is known of the history of each product that has daily or weekly rows, sorted by id.

        ``first_sale`` is the first week with a positive volume. A product that has rows and never sold
        anything is known to have sold nothing: its history begins with its first row. ``revenue_52_weeks``
        counts the 52 weeks that end with ``until``, or with the newest week of *any* product, so that products
        compare.

        Args:
            product_ids: Only these; None means all.
            until: A day of the last week that counts; None: all weeks do.
        """
        wanted = "true" if product_ids is None else "sold.produto_id = ANY(:ids)"
        newest = NEWEST_WEEK
        parameters: dict[str, object] = {} if product_ids is None else {"ids": list(product_ids)}
        if until is not None:
            monday = until - timedelta(days=until.weekday())
            wanted += " AND sold.data_referencia <= :last_day"
            newest = "SELECT cast(:monday AS date) AS week"
            parameters |= {"monday": monday, "last_day": monday + timedelta(days=6)}
        query = _OVERVIEW.format(newest=newest, weeks=weekly_rows("produto_id", wanted))
        rows = await self._session.execute(text(query), parameters)
        return [ProductOverview(*row) for row in rows]

    async def newest_week(self) -> date | None:
        """The newest Monday that any product has a daily or weekly row for, None without any."""
        newest: date | None = await self._session.scalar(text(NEWEST_WEEK))
        return newest


def _weekly_sales(product_ids: tuple[str, ...], records: np.ndarray) -> WeeklySales:
    order = np.lexsort((records["week"], records["product"]))
    product = records["product"][order].astype(np.int64)
    week = records["week"][order].astype(np.int64)
    volume = records["volume"][order].astype(np.float64)
    revenue = records["revenue"][order].astype(np.float64)
    new = np.ones(len(order), dtype=bool)
    new[1:] = (product[1:] != product[:-1]) | (week[1:] != week[:-1])
    if not new.all():
        # Several weekly rows in one week, as when a series changed from Sundays to Mondays: all of them
        # were sold.
        starts = np.flatnonzero(new)
        product, week = product[starts], week[starts]
        volume, revenue = np.add.reduceat(volume, starts), np.add.reduceat(revenue, starts)
    return WeeklySales(product_ids, product, week.astype("datetime64[D]"), volume, revenue)
