from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from typing import TYPE_CHECKING, cast

import pytest

from consumer import startup
from consumer.cli.loading_code import kept_for_good
from consumer.db.database import Database
from consumer.errors import StartupError
from consumer.exit_codes import ExitCode
from consumer.late_worker import LateWorker
from consumer.settings import Settings
from consumer.startup import check_everything
from tests.fakes import CapturedLog, ManualClock

if TYPE_CHECKING:
    from consumer.execution.worker import Worker

MODELS = ("coreforecast", "lightgbm", "numba", "pandas", "pyarrow", "scipy", "sklearn", "statsforecast", "torch")
ANSWERS = ("numpy", "consumer.execution", "consumer.forecasting")
MIGRATIONS = ("alembic",)


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        ("consumer.cli.work.service, consumer.bootstrap", (*MODELS, *ANSWERS, *MIGRATIONS)),
        ("consumer.cli.work.service, consumer.bootstrap, consumer.worker_role", (*MODELS, *MIGRATIONS)),
    ],
    ids=["intake and relay", "worker"],
)
def test_start_loads_no_forecasting_library(modules: str, absent: tuple[str, ...]) -> None:
    """The service's own process loads no library of models, and without a worker nothing of the domain either."""
    code = f"import sys, {modules}; print([name for name in {absent!r} if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert ended.stdout.strip() == "[]"


def test_what_is_imported_is_no_garbage() -> None:
    """The collector rests during imports, leaves what they made alone, and works again after a failed one, too."""
    enabled: list[bool] = []

    def fail() -> None:
        with kept_for_good():
            enabled.append(gc.isenabled())
            raise ImportError

    with pytest.raises(ImportError):
        fail()
    assert enabled == [False]
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
    gc.unfreeze()


class SomeWorker:
    """What ``LateWorker`` uses of a worker."""

    def __init__(self) -> None:
        self.did: list[str] = []

    def wake(self) -> None:
        self.did.append("woken")

    async def run(self, _: asyncio.Event) -> None:
        self.did.append("run")

    async def keep_leases(self) -> None:
        self.did.append("leases")


async def turns() -> None:
    """Let every task that can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
def worker() -> SomeWorker:
    return SomeWorker()


async def late(worker: SomeWorker, at_work: asyncio.Event) -> LateWorker:
    async def build() -> Worker:
        worker.did.append("built")
        return cast("Worker", worker)

    return LateWorker(build, at_work)


async def test_worker_is_built_when_the_service_is_at_work(worker: SomeWorker) -> None:
    """Nothing is loaded before; then the worker runs, keeps its leases and can be woken."""
    at_work = asyncio.Event()
    subject = await late(worker, at_work)
    subject.wake()
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(subject.keep_leases())
        tasks.create_task(subject.run(asyncio.Event()))
        await turns()
        assert worker.did == []
        at_work.set()
    subject.wake()
    assert worker.did[0] == "built"
    assert sorted(worker.did[1:]) == ["leases", "run", "woken"]


async def test_worker_that_is_stopped_before_is_never_built(worker: SomeWorker) -> None:
    """A service that is told to stop before it was at work ends at once, without having loaded a worker."""
    subject, stopping = await late(worker, asyncio.Event()), asyncio.Event()
    stopping.set()
    async with asyncio.timeout(10):
        await subject.run(stopping)
    assert worker.did == []


async def check(monkeypatch: pytest.MonkeyPatch, database: Exception | None, broker: Exception | None) -> None:
    """Both checks, each of which ends as told; one without an error would wait for ever."""

    def ends_with(error: Exception | None) -> object:
        async def ended(*_: object) -> None:
            if error is None:
                await asyncio.Event().wait()
            else:
                raise error

        return ended

    monkeypatch.setattr(startup, "check_database", ends_with(database))
    monkeypatch.setattr(startup, "check_broker", ends_with(broker))
    async with Database.open("postgresql://u@127.0.0.1:1/d") as pool, asyncio.timeout(10):
        await check_everything(pool, Settings(), ManualClock(), CapturedLog().log)


@pytest.mark.parametrize("code", [ExitCode.DATABASE, ExitCode.SCHEMA, ExitCode.BROKER])
async def test_one_wrong_thing_ends_the_other_check(monkeypatch: pytest.MonkeyPatch, code: ExitCode) -> None:
    """What waiting does not mend ends the start with its own code while the other check would still wait."""
    error = StartupError("wrong", code)
    broker = code is ExitCode.BROKER
    with pytest.raises(StartupError, match=r"^wrong$") as caught:
        await check(monkeypatch, None if broker else error, error if broker else None)
    assert caught.value.exit_code is code


async def test_two_wrong_things_are_both_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two failed checks both messages are told, and the exit code is the database's."""
    errors = StartupError("no database", ExitCode.DATABASE), StartupError("no broker", ExitCode.BROKER)
    with pytest.raises(StartupError, match=r"^no database\n  also: no broker$") as caught:
        await check(monkeypatch, *errors)
    assert caught.value.exit_code is ExitCode.DATABASE


@pytest.mark.parametrize("database", [None, StartupError("no database", ExitCode.DATABASE)])
async def test_unforeseen_error_is_raised_as_it_is(
    monkeypatch: pytest.MonkeyPatch, database: StartupError | None
) -> None:
    """What no check foresaw comes out by itself, not in a group whose message names nothing."""
    with pytest.raises(FileNotFoundError, match=r"^nope$"):
        await check(monkeypatch, database, FileNotFoundError("nope"))
