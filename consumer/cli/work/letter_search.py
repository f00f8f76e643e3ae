"""Finding dead letters: the whole topic or a part of it is read, decisions are looked up, the oldest come first."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from consumer.cli.failure import say
from consumer.cli.work.progress import progress_bar
from consumer.cli.work.ranges import check_partitions
from consumer.client.partitions import partitions_of
from consumer.db.letters import SqlLetterDecisions
from consumer.kafka.ranges import LogRange, RangeReader
from consumer.replay.letters import NoDeadLetterError, read_letter
from schemas.events import iso_milliseconds

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from collections.abc import Set as AbstractSet

    from consumer.db.database import Database
    from consumer.db.letters import Decision
    from consumer.replay.letters import DeadLetter
    from consumer.settings import Settings


@dataclass(frozen=True, slots=True)
class LetterQuery:
    """Which dead letters; an empty set asks for all.

    Attributes:
        wanted: Part of the dead-letter topic.
        reasons: Codes.
        topics: Where the record stood.
        positions: Partition and offset on the dead-letter topic.
        handled: Also those that were retried or discarded.
        limit: At most so many, the oldest first; None: all.
    """

    wanted: LogRange
    reasons: AbstractSet[str] = frozenset()
    topics: AbstractSet[str] = frozenset()
    positions: AbstractSet[tuple[int, int]] = frozenset()
    handled: bool = False
    limit: int | None = None

    @property
    def asks_for_all(self) -> bool:
        """Whether nothing narrows it down."""
        return self == LetterQuery(LogRange(), handled=self.handled)

    def matches(self, letter: DeadLetter) -> bool:
        """Whether the letter is meant, as far as it tells itself."""
        if self.reasons and letter.reason not in self.reasons:
            return False
        if self.topics and letter.original.topic not in self.topics:
            return False
        return not self.positions or (letter.raw.partition, letter.raw.offset) in self.positions


@dataclass(frozen=True, slots=True)
class FoundLetter:
    """What a list says of a letter; its value is not kept, it may be large and there may be many."""

    partition: int
    offset: int
    timestamp_ms: int
    when: datetime
    reason: str
    error: str
    original: str
    source: str
    id: str
    decision: Decision | None

    @property
    def position(self) -> str:
        """``P/O``."""
        return f"{self.partition}/{self.offset}"

    def as_json(self) -> dict[str, Any]:
        """As ``dlq list --json`` has it."""
        when = iso_milliseconds(self.when)
        told = {"position": self.position, "when": when, "reason": self.reason, "error": self.error}
        return {**told, "original": self.original, "source": self.source, "id": self.id, "decision": self.decision}


async def find_letters(
    settings: Settings, database: Database, query: LetterQuery, *, quiet: bool
) -> tuple[list[FoundLetter], int]:
    """The letters by age, at most the limit, and how many match in all."""
    decisions = SqlLetterDecisions(database)
    found: list[FoundLetter] = []
    async with aclosing(read_letters(settings, query, "reading dead letters", quiet=quiet, on_foreign=say)) as pieces:
        async for letters in pieces:
            decided = await decisions.of([letter.raw for letter in letters])
            rows = (_found(letter, decided.get(letter.raw)) for letter in letters)
            found += [row for row in rows if query.handled or row.decision is None]
    found.sort(key=lambda row: (row.timestamp_ms, row.partition, row.offset))
    return found[: query.limit], len(found)


async def read_letters(
    settings: Settings,
    query: LetterQuery,
    label: str,
    *,
    quiet: bool,
    on_foreign: Callable[[str], None] = lambda _: None,
) -> AsyncGenerator[list[DeadLetter]]:
    """The letters that match, batch after batch, whatever was decided about them."""
    topic = settings.topic_dlq
    found = await partitions_of(settings, [topic])
    named = ((f"position {partition}/{offset}", partition) for partition, offset in sorted(query.positions))
    check_partitions(topic, found[topic], named)
    async with RangeReader(settings, found, query.wanted) as reader:
        with progress_bar(label, reader.total, quiet=quiet) as advance:
            async with aclosing(reader.read(topic)) as pieces:
                async for piece in pieces:
                    letters: list[DeadLetter] = []
                    for raw in piece.records:
                        try:
                            letters.append(read_letter(raw))
                        except NoDeadLetterError as error:
                            on_foreign(str(error))
                    yield [letter for letter in letters if query.matches(letter)]
                    advance(piece.passed)


def _found(letter: DeadLetter, decision: Decision | None) -> FoundLetter:
    raw, original = letter.raw, letter.original
    source, event_id = letter.identity
    return FoundLetter(
        partition=raw.partition,
        offset=raw.offset,
        timestamp_ms=raw.timestamp_ms,
        when=datetime.fromtimestamp(raw.timestamp_ms / 1000, UTC),
        reason=letter.reason,
        error=letter.error,
        original=f"{original.topic}/{original.partition}/{original.offset}",
        source=source,
        id=event_id,
        decision=decision,
    )
