"""Reading a part of the log without a group: no other reader's offsets are touched, none are committed."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from consumer.errors import TransientError
from consumer.exit_codes import ExitCode
from consumer.kafka.connection import connection_arguments, no_answer
from consumer.kafka.lenient import read_leniently
from schemas.records import RawRecord

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence
    from datetime import datetime

    from consumer.settings import Settings

OPEN_SECONDS: Final = 20.0
STOP_SECONDS: Final = 3.0
POLL_SECONDS: Final = 0.5
STALL_SECONDS: Final = 30.0


class BrokerAwayError(TransientError):
    """The cluster does not answer while its log is read; what was done with earlier records stays done."""

    exit_code = ExitCode.BROKER


@dataclass(frozen=True, slots=True)
class LogRange:
    """A part of a topic: from the first bound on, up to and without the last; what is None has no bound.

    Attributes:
        since: Records with this timestamp or a later one.
        until: Records with an earlier timestamp.
        first: Offset by partition. If there is any in ``first`` or ``last``, other partitions are not read.
        last: Likewise.
    """

    since: datetime | None = None
    until: datetime | None = None
    first: Mapping[int, int] = field(default_factory=dict)
    last: Mapping[int, int] = field(default_factory=dict)

    def covers(self, partition: int) -> bool:
        """Whether records of this partition are wanted."""
        named = {**self.first, **self.last}
        return not named or partition in named

    def holds(self, raw: RawRecord) -> bool:
        """Whether the record's time is in the range; one without a time is in none that is bounded by time."""
        if self.since is not None and raw.timestamp_ms < _milliseconds(self.since):
            return False
        return self.until is None or 0 <= raw.timestamp_ms < _milliseconds(self.until)


@dataclass(frozen=True, slots=True)
class Piece:
    """Records of one poll that are in the range, and how many offsets were passed with them."""

    records: tuple[RawRecord, ...]
    passed: int


class RangeReader:
    """Reads topics one after the other, each up to where it ended when the reader was opened. Use ``async with``."""

    def __init__(
        self, settings: Settings, partitions: Mapping[str, Sequence[int]], wanted: LogRange, batch: int = 500
    ) -> None:
        """Prepare a reader.

        Args:
            settings: Where the cluster is.
            partitions: The partitions of each topic that is to be read.
            wanted: Which part of each.
            batch: Records of one piece.
        """
        read_leniently()
        self._settings = settings
        self._places = [TopicPartition(topic, number) for topic, all_ in partitions.items() for number in all_]
        self._wanted = wanted
        self._batch = batch
        self._consumer: Any = None
        self._spans: dict[TopicPartition, tuple[int, int]] = {}

    @property
    def total(self) -> int:
        """Offsets to pass, an upper bound of the records."""
        return sum(end - start for start, end in self._spans.values())

    async def __aenter__(self) -> Self:
        arguments = connection_arguments(self._settings)
        self._consumer = AIOKafkaConsumer(
            **{**arguments, "client_id": f"{arguments['client_id']}-range-{uuid.uuid4().hex[:8]}"},
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # should retention overtake us, go on with what is left
        )
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                self._consumer.assign(self._places)
                await self._consumer.start()
                # aiokafka's stop cancels a task that start made, and minds only if the task has begun to run: it
                # begins here, for where nothing is to be read nothing below waits for the broker.
                await asyncio.sleep(0)
                self._spans = await self._find_spans()
        except BaseException as error:
            await self._stop()
            if isinstance(error, (KafkaError, TimeoutError, OSError)):
                raise self._away(error) from error
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    async def read(self, topic: str) -> AsyncGenerator[Piece]:
        """The range of one topic, in the order of each partition.

        Raises:
            BrokerAwayError: The cluster is away.
        """
        left = {place: span for place, span in self._spans.items() if place.topic == topic}
        if not left:
            return
        self._consumer.assign(list(left))
        for place, (start, _) in left.items():
            self._consumer.seek(place, start)
        positions = {place: start for place, (start, _) in left.items()}
        while left:
            fetched = await self._fetch(positions)
            passed = 0
            for place, (_, end) in list(left.items()):
                position = min(await self._consumer.position(place), end)
                passed += position - positions[place]
                positions[place] = position
                if position >= end:
                    del left[place], positions[place]
                    self._consumer.pause(place)
            records = [raw for record in fetched if self._holds(raw := _raw(record))]
            yield Piece(tuple(records), passed)

    async def _fetch(self, before: Mapping[TopicPartition, int]) -> list[Any]:
        """Wait for records, or for positions that move without any: compaction and transactions leave gaps."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + STALL_SECONDS
        while True:
            try:
                fetched = await self._consumer.getmany(timeout_ms=int(POLL_SECONDS * 1000), max_records=self._batch)
            except KafkaError as error:
                raise self._away(error) from error
            moved = [place for place in before if await self._consumer.position(place) != before[place]]
            if moved:
                return [record for records in fetched.values() for record in records]
            if loop.time() > deadline:
                raise self._away(TimeoutError())

    def _holds(self, raw: RawRecord) -> bool:
        start, end = self._spans[TopicPartition(raw.topic, raw.partition)]
        return start <= raw.offset < end and self._wanted.holds(raw)

    async def _find_spans(self) -> dict[TopicPartition, tuple[int, int]]:
        """Times are looked up for the start alone: timestamps need not rise, so later records may be in time too."""
        wanted = self._wanted
        places = [place for place in self._places if wanted.covers(place.partition)]
        starts = await self._consumer.beginning_offsets(places)
        ends = await self._consumer.end_offsets(places)
        timed = await self._starts_by_time(places)
        spans = {}
        for place in places:
            end = min(ends[place], wanted.last.get(place.partition, ends[place]))
            start = max(starts[place], wanted.first.get(place.partition, 0), timed.get(place, ends[place]))
            if start < end:
                spans[place] = start, end
        return spans

    async def _starts_by_time(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        if self._wanted.since is None:
            return dict.fromkeys(places, 0)
        asked = dict.fromkeys(places, _milliseconds(self._wanted.since))
        found = await self._consumer.offsets_for_times(asked)
        return {place: entry.offset for place, entry in found.items() if entry is not None}

    def _away(self, error: BaseException) -> BrokerAwayError:
        return BrokerAwayError(no_answer(self._settings, error))

    async def _stop(self) -> None:
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._consumer.stop()
        except (KafkaError, TimeoutError, OSError):
            pass  # nothing was to be committed: a reader that cannot say goodbye leaves nothing behind


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _raw(record: Any) -> RawRecord:
    headers = tuple((name, value) for name, value in record.headers)
    return RawRecord(record.topic, record.partition, record.offset, record.timestamp, record.key, record.value, headers)
