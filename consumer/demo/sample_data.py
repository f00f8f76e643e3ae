"""Loading real sales into an initialised database, so that there is something to forecast."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from consumer.demo import sample_rows
from consumer.demo.sample_sales import read_sales

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from asyncpg import Connection, Record

    from consumer.demo.sample_rows import Rows

# In the order of their foreign keys.
_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "usuario": ("id", "email", "nome", "senha_hash", "role", "updated_at"),
    "produto": ("id", "codigo", "descricao", "tipo_produto", "preco_venda", "updated_at"),
    "serie_temporal": ("id", "produto_id", "data_referencia", "granularidade", "volume", "receita", "fonte"),
    "sku_classification": (
        *("id", "produto_id", "classe_abc", "classe_xyz", "padrao_demanda", "modelo_forecast_sugerido"),
        *("percentual_receita", "cv_demanda", "calculado_em", "updated_at"),
    ),
}


@dataclass(frozen=True, slots=True)
class SampleSummary:
    """What the sample consists of; rows that were there already count as well.

    Attributes:
        product_ids: Ids of the products, best covered first.
        user_id: Id of the one user, for ``created_by``.
        first_week: First Monday with sales.
        last_week: Last Monday with sales.
        weekly_rows: Rows of ``serie_temporal`` with a week's sale.
        daily_products: Products that have daily rows instead.
        unclassified_products: Products without a row in ``sku_classification``.
        by_class: Number of classified products of each ABC class.
    """

    product_ids: tuple[str, ...]
    user_id: str
    first_week: date
    last_week: date
    weekly_rows: int
    daily_rows: int
    daily_products: int
    unclassified_products: int
    by_class: Mapping[str, int]


async def load_sample(connection: Connection[Record], products: int = 500) -> SampleSummary:
    """Load the sales of the best-covered products, in one transaction; rows that exist are left as they are.

    Reading and aggregating runs in a thread, so that the event loop stays free.

    Args:
        connection: To a database that has the shared tables.
        products: How many; the data know 68,000, of which 7,900 sold in at least 26 weeks.

    Raises:
        consumer.demo.sample_sales.SampleDataError: The package with the sales is missing.
        ValueError: ``products`` is not positive.
        asyncpg.PostgresError: A table is missing, or its structure is not the contract's.
    """
    rows, summary = await asyncio.to_thread(_prepare, products)
    async with connection.transaction():
        for table, columns in _COLUMNS.items():
            await _insert(connection, table, columns, rows[table])
    return summary


async def _insert(connection: Connection[Record], table: str, columns: tuple[str, ...], rows: Rows) -> None:
    # COPY cannot skip what exists; through a temporary table a second load is as good as none.
    staging = f"sample_{table}"
    names = ", ".join(columns)
    like = f"SELECT {names} FROM {table} WITH NO DATA"  # noqa: S608  constants of this module only
    await connection.execute(f"CREATE TEMPORARY TABLE {staging} ON COMMIT DROP AS {like}")
    await connection.copy_records_to_table(staging, records=rows, columns=columns)
    await connection.execute(
        f"INSERT INTO {table} ({names}) SELECT {names} FROM {staging} ON CONFLICT DO NOTHING"  # noqa: S608  the same
    )


def _prepare(products: int) -> tuple[dict[str, Rows], SampleSummary]:
    sales = read_sales(products)
    rows = {
        "usuario": sample_rows.user_rows(sales),
        "produto": sample_rows.product_rows(sales),
        "serie_temporal": sample_rows.series_rows(sales),
        "sku_classification": sample_rows.classification_rows(sales),
    }
    classes = [row[2] for row in rows["sku_classification"]]
    daily = [row for row in rows["serie_temporal"] if row[3] == "diario"]
    product_ids = tuple(row[0] for row in rows["produto"])
    return rows, SampleSummary(
        product_ids=product_ids,
        user_id=rows["usuario"][0][0],
        first_week=sales.first_week,
        last_week=sales.last_week,
        weekly_rows=len(rows["serie_temporal"]) - len(daily),
        daily_rows=len(daily),
        daily_products=len({row[1] for row in daily}),
        unclassified_products=len(product_ids) - len(classes),
        by_class={name: classes.count(name) for name in sorted(set(classes))},
    )
