"""What operators decided about dead letters: Kafka deletes no single record, so the decision is kept beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from sqlalchemy import text

from consumer.db.errors import transient_errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from consumer.db.database import Database
    from schemas.records import RawRecord

Decision = Literal["retried", "discarded"]

_NAMED: Final = """unnest(cast(:topic AS text[]), cast(:partition AS int[]), cast(:offset AS bigint[]),
                          cast(:timestamp_ms AS bigint[]))"""
_DECIDED: Final = text(f"""
    SELECT named.number, d.decision FROM forecast_consumer.dead_letter_decision AS d
      JOIN {_NAMED} WITH ORDINALITY AS named(topic, partition, "offset", timestamp_ms, number)
     USING (topic, partition, "offset", timestamp_ms)""")  # noqa: S608 - made of the constant above
_DECIDE: Final = text(f"""
    INSERT INTO forecast_consumer.dead_letter_decision (topic, partition, "offset", timestamp_ms, decision)
    SELECT named.*, :decision FROM {_NAMED} AS named
    ON CONFLICT (topic, partition, "offset", timestamp_ms)
    DO UPDATE SET decision = excluded.decision, decided_at = excluded.decided_at""")  # noqa: S608 - likewise


class SqlLetterDecisions:
    """By position and timestamp of the dead letter; a recreated topic begins with a clean slate."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @transient_errors
    async def of(self, letters: Sequence[RawRecord]) -> Mapping[RawRecord, Decision]:
        """The last decision about each that has one."""
        if not letters:
            return {}
        async with self._database.session() as session:
            rows = (await session.execute(_DECIDED, _positions(letters))).all()
        return {letters[row.number - 1]: row.decision for row in rows}

    @transient_errors
    async def record(self, letters: Sequence[RawRecord], decision: Decision) -> None:
        """Remember the decision, in place of an earlier one."""
        if letters:
            async with self._database.transaction() as session:
                await session.execute(_DECIDE, {**_positions(letters), "decision": decision})


def _positions(letters: Sequence[RawRecord]) -> dict[str, list[Any]]:
    return {
        "topic": [raw.topic for raw in letters],
        "partition": [raw.partition for raw in letters],
        "offset": [raw.offset for raw in letters],
        "timestamp_ms": [raw.timestamp_ms for raw in letters],
    }
