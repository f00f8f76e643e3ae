from __future__ import annotations

import pytest

from consumer.demo.sample_sales import SampleSales, read_sales


@pytest.fixture(scope="session")
def sales() -> SampleSales:
    """The 60 best-covered products of the real data."""
    return read_sales(60)
