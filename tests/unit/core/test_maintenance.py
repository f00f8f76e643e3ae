from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from consumer.errors import TransientError
from consumer.maintenance import BATCH, Maintenance
from tests.fakes import CapturedLog

if TYPE_CHECKING:
    from collections.abc import Callable


class FakeArchive:
    """Holds as many old rows as it is given; ``failures`` are raised first, ``pruned`` is called after each batch."""

    def __init__(self, old: int, *failures: Exception, pruned: Callable[[], None] = lambda: None) -> None:
        self.old = old
        self.asked: list[tuple[float, int]] = []
        self.emptied = asyncio.Event()
        self._failures = list(failures)
        self._pruned = pruned

    async def prune(self, keep_days: float, limit: int) -> int:
        self.asked.append((keep_days, limit))
        if self._failures:
            raise self._failures.pop(0)
        batch = min(self.old, limit)
        self.old -= batch
        self._pruned()
        if not batch:
            self.emptied.set()
        return batch


class Bench:
    def __init__(self, archive: FakeArchive, interval_seconds: float = 3600.0) -> None:
        self.log = CapturedLog()
        self.stopping = asyncio.Event()
        self.maintenance = Maintenance(archive, 30.0, interval_seconds, self.log.log)

    async def run_until(self, signal: asyncio.Event) -> None:
        """Run, stop when the signal comes, and see that it ends."""
        async with asyncio.timeout(10):
            running = asyncio.create_task(self.maintenance.run(self.stopping))
            await signal.wait()
            self.stopping.set()
            await running


@pytest.fixture(autouse=True)
def out_of_breath(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumer.maintenance.BREATH_SECONDS", 0.0)


async def test_batches_go_on_until_nothing_old_is_left() -> None:
    """One run prunes batch after batch, each of the bounded size, and says how many rows went."""
    archive = FakeArchive(2 * BATCH + 7)
    assert await Bench(archive).maintenance.run_once(asyncio.Event()) == 2 * BATCH + 7
    assert archive.asked == [(30.0, BATCH)] * 4
    assert archive.old == 0


async def test_pruning_stops_between_batches_when_told() -> None:
    """A stop in the middle of a long backlog leaves the rest for another day."""
    stopping = asyncio.Event()
    archive = FakeArchive(100 * BATCH, pruned=stopping.set)
    assert await Bench(archive).maintenance.run_once(stopping) == BATCH
    assert archive.old == 99 * BATCH


async def test_nothing_is_pruned_after_the_stop() -> None:
    """A process that is told to stop before it began prunes nothing."""
    archive = FakeArchive(1)
    bench = Bench(archive)
    bench.stopping.set()
    await bench.maintenance.run(bench.stopping)
    assert archive.asked == []


async def test_stop_ends_the_long_wait_for_the_next_run() -> None:
    """The pause between two runs ends at once when the process stops; what was pruned is told once."""
    archive = FakeArchive(3)
    bench = Bench(archive)
    await bench.run_until(archive.emptied)
    assert [(entry["event"], entry["rows"], entry["older_than_days"]) for entry in bench.log.entries] == [
        ("pruned", 3, 30.0)
    ]


async def test_run_without_old_rows_is_silent() -> None:
    """Where nothing is old nothing is said."""
    archive = FakeArchive(0)
    bench = Bench(archive)
    await bench.run_until(archive.emptied)
    assert bench.log.entries == []


async def test_absent_database_is_survived() -> None:
    """A run that fails is told with its reason, and the next one prunes what is old."""
    archive = FakeArchive(5, TransientError("database away"))
    bench = Bench(archive, interval_seconds=0.0)
    await bench.run_until(archive.emptied)
    assert bench.log.names == ["pruning_failed", "pruned"]
    assert bench.log.entries[0]["error"] == "database away"
    assert archive.old == 0


async def test_one_run_tells_of_an_absent_database() -> None:
    """Whoever prunes once hears that the database is away."""
    with pytest.raises(TransientError, match="away"):
        await Bench(FakeArchive(5, TransientError("away"))).maintenance.run_once(asyncio.Event())
