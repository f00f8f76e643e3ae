"""Sales that are classified and then forecast are read once, as long as there is room."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

from consumer.execution.kept_sales import KeptSales
from schemas.enums import CommandKind
from tests.builders import AS_OF, claim
from tests.fakes import FakeSales
from tests.unit.core.job_bench import STEADY, Bench

if TYPE_CHECKING:
    from consumer.forecasting.types import WeeklySales

VOLUMES = {"a": [1.0, 2.0], "b": [3.0], "c": [4.0, 5.0, 6.0], "silent": []}


async def test_what_was_kept_is_what_would_be_read() -> None:
    kept, fresh = KeptSales(FakeSales(VOLUMES)), FakeSales(VOLUMES)
    await kept.read_first(["a", "b"], AS_OF)
    await kept.read_first(["c", "silent"], AS_OF)

    again = await kept.read_last(["c", "silent", "a"], AS_OF)

    assert_same(again, await fresh.weekly_sales(["c", "silent", "a"], AS_OF))


@pytest.mark.parametrize(
    ("wanted", "days", "most_rows"),
    [(["a", "d"], 0, 100), (["a"], 7, 100), (["c"], 0, 2)],
    ids=["one of them was not read", "another week", "there was no room"],
)
async def test_what_was_not_kept_is_read(wanted: list[str], days: int, most_rows: int) -> None:
    sales = FakeSales({**VOLUMES, "d": [7.0]})
    kept = KeptSales(sales, most_rows)
    await kept.read_first(["a", "b", "c"], AS_OF)
    end = AS_OF - timedelta(days=days)

    found = await kept.read_last(wanted, end)

    assert sales.read == [("a", "b", "c"), tuple(wanted)]
    assert_same(found, await sales.weekly_sales(wanted, end))


async def test_what_was_used_is_not_kept_any_longer() -> None:
    sales = FakeSales(VOLUMES)
    kept = KeptSales(sales)
    await kept.read_first(["a"], AS_OF)
    await kept.read_last(["a"], AS_OF)

    await kept.read_last(["a"], AS_OF)

    assert sales.read == [("a",), ("a",)]


async def test_predict_reads_the_sales_of_unclassified_products_once() -> None:
    bench = Bench()

    await bench.run()

    assert sorted(name for block in bench.sales.read for name in block) == sorted(STEADY)


async def test_backtest_classifies_by_other_weeks_than_it_measures() -> None:
    bench = Bench()

    await bench.run(bench.queue.add(claim(CommandKind.BACKTEST, {"holdout_weeks": 5})))

    assert sorted(name for block in bench.sales.read for name in block) == sorted([*STEADY, *STEADY])


def assert_same(found: WeeklySales, expected: WeeklySales) -> None:
    assert found.product_ids == expected.product_ids
    for name in ("product", "week", "volume", "revenue"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        assert getattr(found, name).dtype == getattr(expected, name).dtype
