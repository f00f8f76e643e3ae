from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.commands import binary, produce
from tests.e2e.new_topics import create_visible
from tests.support.journal import Follower

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.e2e.conftest import MakeService
    from tests.e2e.sales import Catalogue
    from tests.e2e.service_process import ServiceProcess
    from tests.support.topics import Topics

pytestmark = [pytest.mark.broker, pytest.mark.full_broker]

LIMIT_SECONDS = 0.1
IDLE_SECONDS = 4.0
ENOUGH_SECONDS = 3.0  # of models that compute
MOST_FORECASTS = 20


async def test_event_loop_answers_while_models_run(
    topics: Topics, sales_url: str, catalogue: Catalogue, make_service: MakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    """While two processes fit ETS for seconds, p99 of the loop's lag is under 100 ms, or at most 3x that of idling."""
    await create_visible(topics)
    service = make_service(sales_url, chunk_products=50)
    service.start()
    async with Follower(topics.bootstrap_servers, [topics.status, topics.step_log]) as follower:
        await service.ready()
        # The models' libraries are loaded and the statements prepared before anything is measured.
        await predict(service, follower, topics, catalogue.regular(50))
        idle_from = await lags(service)
        # How long is measured; nothing is waited for.
        await asyncio.sleep(IDLE_SECONDS)
        idle_to = await lags(service)
        busy_seconds, forecasts = 0.0, 0
        while busy_seconds < ENOUGH_SECONDS and forecasts < MOST_FORECASTS:
            busy_seconds += await predict(service, follower, topics, catalogue.ids())
            forecasts += 1
        busy_to = await lags(service)
    assert await service.stop() == 0
    idle, busy = quantile(0.99, idle_from, idle_to), quantile(0.99, idle_to, busy_to)
    with capsys.disabled():
        told = f"idle {idle * 1000:.1f} ms, {busy * 1000:.1f} ms in {busy_seconds:.1f} s of ETS"
        print(f"\nloop lag p99: {told}")  # noqa: T201  a number to be read
    assert busy_seconds >= ENOUGH_SECONDS, "the models were done too soon to tell anything"
    assert busy <= max(LIMIT_SECONDS, 3 * idle)


async def predict(service: ServiceProcess, follower: Follower, topics: Topics, products: Sequence[str]) -> float:
    """Forecast by ETS; gives the seconds that the model step took."""
    execucao_id = str(uuid.uuid4())
    await produce(
        topics, [binary("predict", {"execucao_id": execucao_id, "produto_ids": list(products), "modelo": "ETS"})]
    )
    await service.meanwhile(follower.until(lambda journal: execucao_id in journal.ended, "the forecast", 120))
    steps = (await follower.to_the_end()).of_execution(topics.step_log, execucao_id)
    (ets,) = (step for step in steps if step["step_name"] == "execute_ets" and step["status"] == "COMPLETED")
    return float(ets["duration_ms"]) / 1000


async def lags(service: ServiceProcess) -> dict[float, float]:
    """The histogram as cumulative counts by upper bound, in seconds."""
    text = (await service.get("/metrics")).text
    (family,) = (f for f in text_string_to_metric_families(text) if f.name == "forecast_event_loop_lag_seconds")
    return {float(s.labels["le"]): s.value for s in family.samples if s.name.endswith("_bucket")}


def quantile(share: float, before: dict[float, float], after: dict[float, float]) -> float:
    """Interpolated within its bucket, as Prometheus does; what lies above the last bound counts as that bound."""
    counts = {bound: after[bound] - before[bound] for bound in sorted(after)}
    total = counts[float("inf")]
    assert total >= 50, f"only {total:.0f} measurements"
    low, below = 0.0, 0.0
    for bound, count in counts.items():
        if count >= share * total:
            return low if bound == float("inf") else low + (bound - low) * (share * total - below) / (count - below)
        low, below = bound, count
    raise AssertionError("a histogram ends with +Inf")
