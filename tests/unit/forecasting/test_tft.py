"""The TFT, where its extra is installed: `make tft` installs it and runs these tests."""

from __future__ import annotations

import json
from datetime import date, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pyarrow import ipc

from consumer.execution.tasks import FitWork, fit
from consumer.forecasting.global_model import tft
from consumer.forecasting.global_model.base import UnusableArtefactError, panel
from consumer.forecasting.global_model.series import TooFewSeriesError, series_table
from consumer.forecasting.history import History
from consumer.forecasting.types import Variant
from consumer.ports.artefacts import StoredFile
from consumer.processes import ProcessCompute
from schemas.enums import ClasseABC, TargetType

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from consumer.forecasting.global_model.base import Panel

PICKLE = b"\x80\x04cos\nsystem\n(S'true'\ntR."
MONDAY = date(2026, 6, 1)
pytestmark = pytest.mark.timeout(900)
needs_tft = pytest.mark.skipif(not tft.installed(), reason="the extra `tft` is not installed: `make tft` runs this")


def seasonal_panel(products: int = 60, weeks: int = 60, last_week: date = MONDAY) -> Panel:
    randomness = np.random.default_rng(7)
    rate = randomness.gamma(3.0, 4.0, size=products)
    wave = 1 + 0.5 * np.sin(np.arange(weeks) * 2 * np.pi / 13)
    volume = randomness.poisson(rate[:, None] * wave).astype(float)
    volume[:, 0] += 1
    histories = [History(row, 2.5 * row) for row in volume]
    return panel([f"product-{number}" for number in range(products)], histories, [ClasseABC.A] * products, last_week)


def artefact(target: TargetType = TargetType.VOLUME) -> bytes:
    table = series_table(seasonal_panel(), target, products_total=60, seed=1)
    return tft.fit_tft([table], target, known_until=MONDAY - timedelta(weeks=13), seed=1)


@pytest.fixture(scope="module")
def trained() -> bytes:
    return artefact()


@needs_tft
def test_a_stored_tft_forecasts_ordered_quantiles_that_beat_a_flat_line(trained: bytes) -> None:
    """Quantiles are tidy, and the median follows a season that the mean of the last 12 weeks cannot."""
    model = tft.load_tft(trained)
    known = seasonal_panel()
    actual = known.volume.reshape(60, 60)[:, -13:]
    before = panel(
        known.product_ids,
        [History(row[:-13], row[:-13]) for row in known.volume.reshape(60, 60)],
        [ClasseABC.A] * 60,
        MONDAY - timedelta(weeks=13),
    )
    quantiles = model.predict(before, 13)
    assert quantiles.shape == (60, 13, 5)
    assert (np.diff(quantiles, axis=-1) >= 0).all()
    assert np.isfinite(quantiles).all()
    flat = before.volume.reshape(60, 47)[:, -12:].mean(axis=1, keepdims=True)
    assert np.abs(quantiles[..., 2] - actual).mean() < np.abs(flat - actual).mean()


@needs_tft
async def test_the_same_data_and_seed_give_the_same_bytes_in_a_model_process(trained: bytes, tmp_path: Path) -> None:
    """Spawned, as a worker's pool does it, with nothing of this process in it."""
    file = tmp_path / "rows.arrow"
    table = series_table(seasonal_panel(), TargetType.VOLUME, products_total=60, seed=1)
    with ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    stored = StoredFile(str(file), sha256(file.read_bytes()).hexdigest())
    work = FitWork((stored,), TargetType.VOLUME, MONDAY - timedelta(weeks=13), 1, Variant.TFT)
    async with ProcessCompute(1, 600.0) as compute:
        assert await compute.run(fit, work) == trained


@needs_tft
def test_a_longer_horizon_and_a_short_history_are_answered(trained: bytes) -> None:
    """Weeks beyond the network's horizon repeat its last one; three weeks of history suffice."""
    short = panel(["new"], [History(np.array([3.0, 0.0, 4.0]), np.zeros(3))], [ClasseABC.C], MONDAY)
    quantiles = tft.load_tft(trained).predict(short, 20)
    assert quantiles.shape == (1, 20, 5)
    assert np.isfinite(quantiles).all()
    assert (quantiles[:, 13:] == quantiles[:, 12:13]).all()


@needs_tft
@pytest.mark.parametrize(
    "change",
    [
        lambda found: found[: len(found) // 2],
        lambda _: PICKLE,
        lambda found: found.replace(b"forecast-consumer tft 1", b"forecast-consumer tft 9"),
        lambda found: found[: 8 + int.from_bytes(found[:8], "little")] + PICKLE,
        lambda _: b"\x02\0\0\0\0\0\0\0{}",
    ],
    ids=["truncated", "pickle", "another version", "pickled weights", "incomplete description"],
)
def test_a_changed_artefact_is_refused(trained: bytes, change: Callable[[bytes], bytes]) -> None:
    """What is not a TFT of this version is refused with a reason, and none of it runs."""
    with pytest.raises(UnusableArtefactError):
        tft.load_tft(change(trained))


@needs_tft
def test_too_few_products_are_refused() -> None:
    """With fewer than 20 histories there is no network."""
    table = series_table(seasonal_panel(products=5), TargetType.VOLUME, products_total=5, seed=1)
    with pytest.raises(TooFewSeriesError, match="5 products"):
        tft.fit_tft([table], TargetType.VOLUME, known_until=MONDAY, seed=1)


@pytest.mark.skipif(tft.installed(), reason="the extra `tft` is installed")
def test_libraries_that_cannot_be_loaded_make_a_tft_unusable(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a torch that finds too little address space: who asked does without, and is told why."""
    monkeypatch.setattr(tft, "installed", lambda: True)
    about = {"format": tft.FORMAT, "target": "VOLUME", "known_until": "2026-06-01", "parameters": dict(tft.PARAMETERS)}
    head = json.dumps({"__metadata__": {"forecast-consumer": json.dumps(about)}}).encode()
    with pytest.raises(UnusableArtefactError, match="No module named"):
        tft.load_tft(len(head).to_bytes(8, "little") + head)


@pytest.mark.skipif(tft.installed(), reason="the extra `tft` is installed")
def test_without_the_extra_a_stored_tft_says_what_to_install() -> None:
    """The message names the extra."""
    with pytest.raises(UnusableArtefactError, match=r"forecast-consumer\[tft\]"):
        tft.load_tft(b"\x02\0\0\0\0\0\0\0{}")
