from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from consumer.errors import OffsetsLostError, TransientError
from consumer.intake_loop import IntakeLoop
from consumer.ports.intake import Batch
from tests.builders import record
from tests.fakes import CapturedLog, FakeInbox, ManualClock
from tests.unit.core.inbox_suite import taking

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from consumer.intake import IntakeReport
    from tests.fakes import FakeInboxTransaction


class ScriptedReader:
    """Gives batches in turn, then empty ones; remembers what was committed."""

    def __init__(self, *batches: Batch | Exception) -> None:
        self.batches = list(batches)
        self.committed: list[dict[tuple[str, int], int]] = []
        self.refuse: Exception | None = None
        self.generation = 0
        self.answering = asyncio.Event()
        self.answering.set()
        self.empty = asyncio.Event()
        self.asked: list[int | None] = []
        self.left = 0

    async def poll(self, at_most: int | None = None) -> Batch:
        self.asked.append(at_most)
        await asyncio.sleep(0)
        if not self.batches:
            self.empty.set()
            return Batch((), {})
        batch = self.batches.pop(0)
        if isinstance(batch, Exception):
            raise batch
        return batch

    async def commit(self, next_offsets: Mapping[tuple[str, int], int]) -> None:
        self.committed.append(dict(next_offsets))
        await self.answering.wait()
        if self.refuse is not None:
            raise self.refuse

    async def leave(self) -> None:
        self.left += 1


class World:
    def __init__(self) -> None:
        self.inbox = FakeInbox()


PREDICT = ("forecast.predict", 0)
OTHER = ("forecast.predict", 1)


def batch(*names: str, offsets: dict[tuple[str, int], int] | None = None) -> Batch:
    return Batch(tuple(record(event_id=name) for name in names), offsets or {PREDICT: 17})


class Bench:
    def __init__(self, *batches: Batch | Exception) -> None:
        self.world, self.reader, self.log, self.clock = World(), ScriptedReader(*batches), CapturedLog(), ManualClock()
        self.persisted: list[IntakeReport] = []
        self.stopping = asyncio.Event()
        self.loop = IntakeLoop(
            self.reader,
            taking(self.world),  # type: ignore[arg-type]  # the inbox is all that is asked of it
            lambda report, _: self.persisted.append(report),
            3,
            self.clock,
            self.log.log,
        )

    async def read(self) -> int:
        """One poll."""
        return await self.loop.ahead.run_once(self.stopping)

    async def run_once(self) -> None:
        """One poll and one transaction, and what they left to be committed."""
        await self.read()
        await self.loop.run_once(self.stopping)
        await self.loop._commits.finish()


async def turns() -> None:
    """Let whoever can go on do so."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumer.intake_loop.RETRY_SECONDS", (0.0,) * 5)
    monkeypatch.setattr("consumer.read_ahead.AGAIN_SECONDS", 0.0)
    monkeypatch.setattr("consumer.offset_commits.AGAIN_SECONDS", 0.0)


async def test_exactly_the_offsets_of_a_persisted_batch_are_committed() -> None:
    """A batch is persisted, then its own offsets are committed, then whoever waits for commands hears of it."""
    bench = Bench(batch("a", "b"))
    await bench.run_once()
    assert bench.reader.committed == [{PREDICT: 17}]
    assert [report.accepted for report in bench.persisted] == [2]


async def test_nothing_is_committed_before_it_is_persisted() -> None:
    """While the database is away the same batch is tried again, and its offsets wait."""
    bench = Bench(batch("a"))
    bench.world.inbox.failures += [TransientError("gone"), TransientError("gone")]
    await bench.run_once()
    assert bench.log.names == ["batch_not_persisted", "batch_not_persisted", "batch_persisted"]
    assert len(bench.reader.committed) == bench.world.inbox.commits == 1


async def test_stop_while_the_database_is_away_leaves_the_batch_in_kafka() -> None:
    """A batch that cannot be persisted before the stop is not committed, and others get the partitions at once."""
    bench = Bench(batch("a"))
    bench.world.inbox.failures += [TransientError("gone")] * 1000
    running = asyncio.create_task(bench.loop.run(bench.stopping))
    await turns()
    bench.stopping.set()
    async with asyncio.timeout(5):
        await running
    assert (bench.reader.committed, bench.reader.left) == ([], 1)


@pytest.mark.parametrize("error", [OffsetsLostError("rebalanced"), TransientError("timed out")])
async def test_failing_commit_costs_nothing(error: Exception) -> None:
    """Offsets that cannot be committed are told; the batch is durable and comes again as duplicates."""
    bench = Bench(batch("a"))
    bench.reader.refuse = error
    await bench.run_once()
    assert bench.log.names == ["batch_persisted", "offsets_not_committed"]
    bench.reader.refuse = None
    bench.reader.batches.append(batch("b", offsets={PREDICT: 18}))
    await bench.run_once()
    assert bench.reader.committed == [{PREDICT: 17}, {PREDICT: 18}]


async def test_commit_that_the_cluster_did_not_take_is_asked_for_again() -> None:
    """Also if no record follows whose offsets would cover it; those of a later batch go with it."""
    bench = Bench(batch("a", offsets={PREDICT: 17, OTHER: 3}), batch("b", offsets={PREDICT: 18}))
    bench.reader.refuse = TransientError("timed out")
    bench.reader.answering.clear()
    for _ in range(2):
        await bench.read()
        await bench.loop.run_once(bench.stopping)
    bench.reader.answering.set()
    await turns()
    bench.reader.refuse = None
    await turns()
    assert bench.reader.committed[0] == {PREDICT: 17, OTHER: 3}
    assert bench.reader.committed[-1] == {PREDICT: 18, OTHER: 3}
    assert bench.reader.committed[1:-1] == [{PREDICT: 18, OTHER: 3}] * (len(bench.reader.committed) - 2)


async def test_commit_is_not_asked_for_again_when_partitions_were_taken_away() -> None:
    """Whoever had them meanwhile may have committed more; what was persisted comes again as duplicates."""
    bench = Bench(batch("a"))
    bench.reader.refuse = TransientError("timed out")
    bench.reader.answering.clear()
    await bench.read()
    await bench.loop.run_once(bench.stopping)
    await turns()
    bench.reader.generation += 1
    bench.reader.answering.set()
    await turns()
    assert bench.reader.committed == [{PREDICT: 17}]


async def test_next_batch_does_not_wait_for_the_commit_of_the_one_before() -> None:
    """Batches are persisted while a commit is under way; their offsets then go together, one request at a time."""
    bench = Bench(*(batch(name, offsets=offsets) for name, offsets in (("a", {PREDICT: 1}), ("b", {PREDICT: 2}))))
    bench.reader.batches.append(batch("c", offsets={OTHER: 1}))
    bench.reader.answering.clear()
    for _ in range(3):
        await bench.read()
        await bench.loop.run_once(bench.stopping)
    assert (bench.world.inbox.commits, bench.reader.committed) == (3, [{PREDICT: 1}])
    bench.reader.answering.set()
    await bench.loop._commits.finish()
    assert bench.reader.committed == [{PREDICT: 1}, {PREDICT: 2, OTHER: 1}]


async def test_leaving_waits_for_the_commit_that_is_under_way() -> None:
    """A member leaves the group when its offsets are committed, so that its successor reads nothing twice."""
    bench = Bench(batch("a"))
    bench.reader.answering.clear()
    running = asyncio.create_task(bench.loop.run(bench.stopping))
    await bench.reader.empty.wait()
    bench.stopping.set()
    await turns()
    assert (bench.reader.committed, bench.reader.left, running.done()) == ([{PREDICT: 17}], 0, False)
    bench.reader.answering.set()
    async with asyncio.timeout(5):
        await running
    assert bench.reader.left == 1


async def test_empty_poll_touches_nothing() -> None:
    """Without records there is nothing to persist, but the poll counts as a sign of life."""
    bench = Bench()
    bench.clock.seconds = 42.0
    assert await bench.read() == 0
    assert (bench.loop.ahead.holds, bench.loop.last_poll) == (0, 42.0)


async def test_failing_poll_is_survived_and_is_no_sign_of_life() -> None:
    """A cluster that is away is logged and polled again."""
    bench = Bench(TransientError("gone"), batch("a"))
    bench.clock.seconds = 42.0
    assert await bench.read() == 0
    assert (bench.log.names, bench.loop.last_poll) == (["poll_failed"], 0.0)
    assert await bench.read() == 1


class SlowInbox(FakeInbox):
    """Commits when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.answering = asyncio.Event()
        self.begun = asyncio.Event()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[FakeInboxTransaction]:
        self.begun.set()
        async with super().transaction() as inbox:
            yield inbox
            await self.answering.wait()


@asynccontextmanager
async def persisting(bench: Bench) -> AsyncIterator[SlowInbox]:
    """The loop while it persists its first batch, and at the end of the block a little longer, until it is idle."""
    inbox = bench.world.inbox = SlowInbox()
    bench.loop._intake._inbox = inbox
    running = asyncio.create_task(bench.loop.run(bench.stopping))
    await inbox.begun.wait()
    await turns()
    yield inbox
    inbox.answering.set()
    await turns()
    bench.stopping.set()
    async with asyncio.timeout(5):
        await running


async def test_the_next_batch_is_read_while_one_is_persisted() -> None:
    """What several polls bring meanwhile is persisted together, as far as one batch holds it; then reading waits."""
    bench = Bench(batch("a"), batch("b", offsets={PREDICT: 18}), batch("c", "d", offsets={OTHER: 5}), batch("e"))
    async with persisting(bench) as inbox:
        assert (bench.loop.ahead.holds, len(bench.reader.batches), inbox.commits) == (3, 1, 0)
        assert bench.reader.asked == [3, 2, 2]  # the second before the first batch was taken
    assert [report.accepted for report in bench.persisted] == [1, 3, 1]


async def test_many_bytes_are_a_batch_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large commands fill a batch before it has all its records."""
    monkeypatch.setattr("consumer.read_ahead.MOST_BYTES", 1)
    bench = Bench(batch("a"), batch("b"), batch("c"))
    async with persisting(bench):
        assert (bench.loop.ahead.holds, len(bench.reader.batches)) == (1, 1)


async def test_offsets_follow_the_batches_in_their_order() -> None:
    """Offsets are committed after both batches are persisted, the newest of each partition."""
    bench = Bench(batch("a"), batch("b", offsets={PREDICT: 18}), batch("c", offsets={PREDICT: 19, OTHER: 5}))
    async with persisting(bench):
        assert bench.reader.committed == []
    assert bench.reader.committed == [{PREDICT: 19, OTHER: 5}]


async def test_batch_that_cannot_be_persisted_holds_the_next() -> None:
    """While the database is away nothing of what was read ahead is tried, and nothing is committed."""
    bench = Bench(batch("a"), batch("b", offsets={PREDICT: 18}))
    async with persisting(bench) as inbox:
        inbox.failures += [TransientError("gone")] * 3
        assert bench.reader.committed == []
    assert bench.log.names == ["batch_not_persisted"] * 3 + ["batch_persisted"] * 2
    assert bench.reader.committed == [{PREDICT: 18}]
    assert [report.accepted for report in bench.persisted] == [1, 1]


async def test_what_was_read_ahead_of_a_stop_stays_in_kafka() -> None:
    """A stop waits for the batch that is being persisted, not for the next one, whose offsets are not committed."""
    bench = Bench(batch("a"), batch("b", offsets={PREDICT: 18}))
    async with persisting(bench):
        bench.stopping.set()
    assert (bench.reader.committed, bench.reader.left) == ([{PREDICT: 17}], 1)
    assert [report.accepted for report in bench.persisted] == [1]


async def test_poll_that_fails_loses_nothing_that_was_read_before() -> None:
    """The reader begins anew from committed offsets; what comes again is a duplicate, and no offset is skipped."""
    bench = Bench(batch("a"), batch("b", offsets={PREDICT: 18}), TransientError("gone"))
    bench.reader.batches.append(batch("b", offsets={PREDICT: 18}))
    async with persisting(bench):
        assert bench.log.names == ["poll_failed"]
    assert [(report.accepted, report.duplicates) for report in bench.persisted] == [(1, 0), (1, 1)]
    assert bench.reader.committed[-1] == {PREDICT: 18}


async def test_fault_that_nobody_foresaw_ends_the_loop() -> None:
    """An error of the reader is the loop's own, and the group is left."""
    bench = Bench(batch("a"), ZeroDivisionError())
    with pytest.raises(ExceptionGroup):
        await bench.loop.run(bench.stopping)
    assert bench.reader.left == 1


async def test_the_last_turn_is_that_of_the_slower_half() -> None:
    """A transaction that hangs shows although polls go on, and so does a poll; who waits for the other is not stuck."""
    bench = Bench(batch("a"), batch("b", "c", "d"))
    async with persisting(bench):
        bench.clock.seconds = 42.0
        assert bench.loop.last_turn == 0.0
    bench.clock.seconds = 43.0
    await bench.read()
    bench.clock.seconds = 44.0
    assert bench.loop.last_turn == 43.0
