from __future__ import annotations

import uuid
from decimal import Decimal
from typing import TYPE_CHECKING

from consumer.demo import sample_rows
from schemas.enums import ClasseABC

if TYPE_CHECKING:
    from consumer.demo.sample_sales import SampleSales


def test_ids_are_uuids_and_the_same_every_time(sales: SampleSales) -> None:
    """Two demos make the same ids, so that their results can be compared."""
    ids = [row[0] for row in sample_rows.series_rows(sales)]
    assert ids == [row[0] for row in sample_rows.series_rows(sales)]
    assert len(set(ids)) == len(ids)
    assert str(uuid.UUID(ids[0])) == ids[0]


def test_series_are_weekly_and_a_few_daily(sales: SampleSales) -> None:
    """Every product has rows of one granularity; those of places 0 and 50 are daily."""
    kinds: dict[str, set[str]] = {}
    for _, product, day, kind, volume, revenue, source in sample_rows.series_rows(sales):
        kinds.setdefault(product, set()).add(kind)
        assert kind == "diario" or day.weekday() == 0
        assert isinstance(volume, Decimal)
        assert isinstance(revenue, Decimal)
        assert source == "completejourney"
    ordered = [kinds[row[0]] for row in sample_rows.product_rows(sales)]
    assert ordered == [{"diario"} if place in (0, 50) else {"semanal"} for place in range(60)]


def test_some_products_have_no_classification(sales: SampleSales) -> None:
    """Places 10, 30 and 50 are left for the service to classify; place 25 has a planner's suggestion."""
    products = [row[0] for row in sample_rows.product_rows(sales)]
    rows = {row[1]: row for row in sample_rows.classification_rows(sales)}
    assert [place for place, product in enumerate(products) if product not in rows] == [10, 30, 50]
    assert [place for place, product in enumerate(products) if rows.get(product, [None] * 6)[5]] == [25]


def test_classes_follow_the_share_of_revenue(sales: SampleSales) -> None:
    """Percentages add up to 100; the A products before the last of them have less than 80 %."""
    classes = sample_rows.classify(sales)
    assert abs(sum(found.revenue_percent for found in classes) - 100) < 1e-9
    shares = sorted((c.revenue_percent for c in classes if c.classe_abc is ClasseABC.A), reverse=True)
    assert sum(shares[:-1]) < 80 <= sum(shares)
    assert min(shares) >= max(c.revenue_percent for c in classes if c.classe_abc is not ClasseABC.A)
    assert {found.classe_abc for found in classes} == set(ClasseABC)


def test_products_have_a_code_a_text_and_a_price(sales: SampleSales) -> None:
    """Codes are unique; texts and prices fit their columns."""
    rows = sample_rows.product_rows(sales)
    assert len({row[1] for row in rows}) == 60
    for _, code, text, _, price, moment in rows:
        assert len(code) <= 50
        assert 0 < len(text) <= 255
        assert price > 0
        assert moment.tzinfo is not None
