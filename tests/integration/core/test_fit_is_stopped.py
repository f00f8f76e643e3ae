from __future__ import annotations

import asyncio
import sys
import time
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest
import pytest_asyncio

from consumer.artefacts.store import FileArtefacts
from consumer.clock import SystemClock
from consumer.errors import TransientError
from consumer.execution.tasks import FitWork, fit, make_rows
from consumer.forecasting.training import TrainingRequest
from consumer.forecasting.types import Variant, WeeklySales
from consumer.processes import ProcessCompute
from schemas.enums import TargetType
from tests.builders import planned
from tests.integration.core import model_work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from consumer.ports.artefacts import StoredFile

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(sys.platform != "linux", reason="watches processes as Linux lets one"),
]
PRODUCTS, WEEKS, NEWEST = 120, 104, date(2026, 11, 16)


def many_sales() -> WeeklySales:
    """More than a fit is done with in the seconds that these tests take."""
    names = tuple(f"p{number:03d}" for number in range(PRODUCTS))
    volume = np.random.default_rng(1).poisson(20.0, PRODUCTS * WEEKS).astype(float)
    week = np.datetime64(NEWEST, "D") - 7 * np.arange(WEEKS)[::-1]
    product = np.repeat(np.arange(PRODUCTS), WEEKS).astype(np.int64)
    return WeeklySales(names, product, np.tile(week, PRODUCTS), volume, volume * 2)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def work(tmp_path_factory: pytest.TempPathFactory) -> FitWork:
    sales = many_sales()
    products = tuple(planned(name, models=(Variant.LGBM,)) for name in sales.product_ids)
    rows = make_rows(TrainingRequest(products, sales, NEWEST, PRODUCTS, 1))
    workspace = FileArtefacts(tmp_path_factory.mktemp("artefacts"), SystemClock()).workspace("run", "key")
    file: StoredFile = await workspace.keep("rows.arrow", rows.rows.by_target[TargetType.VOLUME])
    return FitWork((file,), TargetType.VOLUME, NEWEST, 1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def compute() -> AsyncIterator[ProcessCompute]:
    async with ProcessCompute(1, 120.0) as pool:
        await pool.warm_up()
        yield pool


async def deep_in_the_fit(process: psutil.Process) -> None:
    """Wait until the process has computed for longer than it takes to read the rows."""
    begun, deadline = process.cpu_times().user, time.monotonic() + 60
    while process.cpu_times().user < begun + 3.0:
        assert time.monotonic() < deadline, "the fit did not begin"
        await asyncio.sleep(0.05)


async def test_cancelling_a_fit_kills_its_process_within_seconds(compute: ProcessCompute, work: FitWork) -> None:
    """LightGBM's compiled loop is ended from outside: gone in 5 s, and the pool works on."""
    process = psutil.Process(await compute.run(model_work.pid_of, None))
    task = asyncio.create_task(compute.run(fit, work, 600.0))
    await deep_in_the_fit(process)
    assert not task.done(), "the fit was too short for this test"
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(process.wait, 5)
    assert time.monotonic() - began < 5
    assert await compute.run(model_work.double, 6) == 12


async def test_fit_has_a_time_limit_of_its_own(compute: ProcessCompute, work: FitWork) -> None:
    """A fit that takes longer than its own limit is killed, though a chunk might take longer."""
    with pytest.raises(TransientError, match="took longer than 2 s"):
        await compute.run(fit, work, 2.0)
    assert await compute.run(model_work.double, 6) == 12
