from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from consumer.db.archive import SqlArchive
from consumer.db.letters import SqlLetterDecisions
from tests.builders import record

if TYPE_CHECKING:
    from tests.integration.core.store import Store


async def test_last_decision_stands(store: Store) -> None:
    """A letter has the decision that was taken last; one without any has none."""
    decisions = SqlLetterDecisions(store.database)
    one, two, three = (record(offset=number) for number in range(3))
    await decisions.record([one, two], "discarded")
    await decisions.record([one], "retried")
    await decisions.record([], "retried")
    assert await decisions.of([three, one, two]) == {one: "retried", two: "discarded"}
    assert await decisions.of([]) == {}


async def test_recreated_topic_has_no_decisions(store: Store) -> None:
    """A letter at the same position with another timestamp is another letter."""
    decisions = SqlLetterDecisions(store.database)
    await decisions.record([record(offset=1)], "discarded")
    assert await decisions.of([replace(record(offset=1), timestamp_ms=7)]) == {}


async def test_old_decisions_are_pruned(store: Store) -> None:
    """A decision that is older than what is kept goes, a younger one stays."""
    decisions = SqlLetterDecisions(store.database)
    old, young = record(offset=1), record(offset=2)
    await decisions.record([old, young], "discarded")
    await store.execute(
        "UPDATE forecast_consumer.dead_letter_decision SET decided_at = now() - interval '31 days' WHERE \"offset\" = 1"
    )
    assert await SqlArchive(store.database).prune(30.0, 100) == 1
    assert await decisions.of([old, young]) == {young: "discarded"}
