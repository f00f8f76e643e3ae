from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from consumer.db.repositories.metric_rows import metric_rows
from consumer.db.repositories.row_ids import row_id
from consumer.forecasting.types import ProductMetric, Variant
from schemas.enums import ClasseABC


def test_metric_cells_are_numbers_or_null() -> None:
    """Values that fit have four decimals, the others are NULL; only those that were given are counted."""
    metric = ProductMetric("a", Variant.SBA, ClasseABC.A, None, float("inf"), 2.0, -1e4)
    rows, nulled = metric_rows("run", [metric])
    assert rows.getvalue().decode().rstrip("\n").split("\t")[1:] == [
        *("run", "a", "SBA", r"\N", r"\N", "2.0000", r"\N", "A")
    ]
    assert nulled == 2


def test_separators_in_ids_are_escaped() -> None:
    """What separates rows and columns of COPY is escaped within an id."""
    metric = ProductMetric("t\tn\nr\rb\\", Variant.SBA, ClasseABC.A, 1.0, 1.0, 1.0, 1.0)
    rows, _ = metric_rows("run", [metric])
    assert rows.getvalue().count(b"\n") == 1
    assert rb"t\tn\nr\rb\\" in rows.getvalue()


@given(parts=st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1))
def test_row_id_is_a_uuid_that_depends_on_its_parts_alone(parts: list[str]) -> None:
    """Any parts give a canonical UUID, the same each time."""
    made = row_id(*parts)
    assert str(uuid.UUID(made)) == made
    assert uuid.UUID(made).variant == uuid.RFC_4122
    assert made == row_id(*parts)
    assert row_id(*parts, "") != made


def test_row_ids_are_stable_over_versions() -> None:
    """Rows written by an older version are replaced by the same id, so the rule may never change."""
    assert row_id("run", "metric", "a", "ETS") == "f012cd97-9b6a-864c-8a8d-82aee0000000"
