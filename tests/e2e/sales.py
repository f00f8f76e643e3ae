"""A catalogue with its weekly sales, loaded by COPY."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import asyncpg
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST_WEEK: Final = dt.date(2023, 1, 2)
PATTERNS: Final = ("REGULAR", "INTERMITENTE")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What was loaded: even products sell every week (AutoETS), odd ones now and then (Croston's family)."""

    products: int
    weeks: int

    @property
    def newest_week(self) -> dt.date:
        return FIRST_WEEK + dt.timedelta(weeks=self.weeks - 1)

    def ids(self, count: int | None = None) -> list[str]:
        return [product_id(number) for number in range(self.products if count is None else count)]

    def regular(self, count: int) -> list[str]:
        return [product_id(2 * number) for number in range(count)]

    def intermittent(self, count: int, skip: int = 0) -> list[str]:
        return [product_id(2 * (skip + number) + 1) for number in range(count)]


def product_id(number: int) -> str:
    return f"P{number:05d}"


async def seed_sales(url: str, products: int, weeks: int, seed: int) -> Catalogue:
    """Load products with a price, a class and a pattern, and ``weeks`` weekly rows each."""
    catalogue = Catalogue(products, weeks)
    connection = await asyncpg.connect(url, timeout=15)
    try:
        async with connection.transaction():
            await _copy(connection, "produto", PRODUCT_COLUMNS, _products(products))
            await _copy(connection, "sku_classification", CLASS_COLUMNS, _classes(products))
            await _copy(connection, "serie_temporal", SALES_COLUMNS, _sales(catalogue, seed))
        await connection.execute("ANALYZE")
    finally:
        await connection.close(timeout=5)
    return catalogue


PRODUCT_COLUMNS: Final = ("id", "codigo", "descricao", "tipo_produto", "preco_venda", "updated_at")
CLASS_COLUMNS: Final = ("id", "produto_id", "classe_abc", "classe_xyz", "padrao_demanda", "updated_at")
SALES_COLUMNS: Final = ("id", "produto_id", "data_referencia", "granularidade", "volume", "receita")
_NOW: Final = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


async def _copy(
    connection: asyncpg.Connection, table: str, columns: tuple[str, ...], rows: Iterator[tuple[object, ...]]
) -> None:
    await connection.copy_records_to_table(table, records=rows, columns=columns, timeout=60)


def _products(count: int) -> Iterator[tuple[object, ...]]:
    for number in range(count):
        name = product_id(number)
        yield name, name, f"product {number}", "ACABADO", Decimal(5 + number % 7), _NOW


def _classes(count: int) -> Iterator[tuple[object, ...]]:
    for number in range(count):
        name = product_id(number)
        yield f"class-{name}", name, "ABC"[number % 3], "XYZ"[number % 3], PATTERNS[number % 2], _NOW


def _sales(catalogue: Catalogue, seed: int) -> Iterator[tuple[object, ...]]:
    randomness = np.random.default_rng(seed)
    days = [FIRST_WEEK + dt.timedelta(weeks=week) for week in range(catalogue.weeks)]
    for number in range(catalogue.products):
        name = product_id(number)
        mean = 20 + number % 30
        volumes = randomness.poisson(mean, catalogue.weeks)
        if number % 2:
            volumes = volumes * (randomness.random(catalogue.weeks) < 0.4)
        for week, (day, volume) in enumerate(zip(days, volumes.tolist(), strict=True)):
            yield f"{name}-{week}", name, day, "semanal", Decimal(volume), Decimal(volume * (4 + number % 7))
