"""A train and what follows from it with the real TFT, where its extra is installed: `make tft` runs this."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import pytest_asyncio

from consumer.execution.tasks import FitWork
from consumer.forecasting.global_model import tft
from consumer.forecasting.types import Variant
from schemas.enums import CommandKind, StatusExecucao
from tests.builders import claim, uuid
from tests.unit.core.training_bench import Training, champion_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from consumer.forecasting.types import PlannedProduct

pytestmark = [
    pytest.mark.skipif(not tft.installed(), reason="the extra `tft` is not installed: `make tft` runs this"),
    pytest.mark.timeout(900),
]
PRODUCTS = 30
STEPS = 60  # of 300: a sample


class WithTft(Training):
    """A bench of a worker with the extra; the table decides, so that it is known who is due a TFT."""

    def __init__(self, artefacts: Path, **options: Any) -> None:
        super().__init__(
            artefacts, products=PRODUCTS, **{"no_tft": None, "automatic_choice": False, "chunk_products": 12, **options}
        )


@pytest.fixture(scope="module", autouse=True)
def short_training() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(tft, "PARAMETERS", {**tft.PARAMETERS, "max_steps": STEPS})
        yield


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def trained(tmp_path_factory: pytest.TempPathFactory) -> WithTft:
    bench = WithTft(tmp_path_factory.mktemp("artefacts"))
    await bench.run(bench.queue.add(claim(CommandKind.TRAIN)))
    return bench


async def predict(trained: WithTft, **options: Any) -> tuple[WithTft, dict[str, PlannedProduct]]:
    bench = WithTft(trained.root, **options)
    bench.queue.present_champion, bench.queue.present_tft = champion_of(trained), champion_of(trained, "TFT")
    await bench.run(bench.queue.add(claim(CommandKind.PREDICT, {"horizonte_semanas": 15})))
    assert bench.statuses[-1].status is StatusExecucao.CONCLUIDO
    chunks = bench.stored.chunks.values()
    return bench, {product.product_id: product for chunk in chunks for product in chunk.products}


async def test_train_stores_a_network_and_tells_of_it(trained: WithTft) -> None:
    """Weights as safetensors under the hash in its row, the versions of what made them, and an error on all."""
    model = champion_of(trained, "TFT")
    assert trained.outcome[3] == "COMPLETED"
    assert set(model.hashes) == {"choices.json", "cut-tft.safetensors", "tft.safetensors"}
    assert {"torch", "neuralforecast", "safetensors"} <= model.parametros["libraries"].keys()
    assert model.parametros["models"]["tft"]["max_steps"] == STEPS
    assert model.products == PRODUCTS
    assert model.error is not None
    assert np.isfinite(model.error)
    network = tft.load_tft((trained.root / "models" / uuid(1) / "TFT" / "tft.safetensors").read_bytes())
    assert str(network.known_until) == trained.resumo["as_of"]


async def test_predict_uses_the_stored_network_where_the_table_says_tft(trained: WithTft) -> None:
    """For regular and erratic products of class A or B; quantiles are calibrated, in order and not negative."""
    bench, planned = await predict(trained)
    due = {
        name
        for name, one in planned.items()
        if one.padrao_demanda in {"REGULAR", "ERRATICO"} and one.classe_abc in {"A", "B"}
    }
    assert len(due) >= 5
    assert {name for name, one in bench.stored.results.items() if one.variant is Variant.TFT} == due
    assert not bench.asked(FitWork)
    for name in due:
        volume = bench.stored.results[name].volume
        assert volume.shape == (15, 5)
        assert (volume >= 0).all()
        assert (np.diff(volume, axis=1) >= 0).all()
        assert (volume[:, 2] == np.floor(volume[:, 2])).all(), "what is sold in units has a median in units"


async def test_numbers_do_not_depend_on_the_chunk(trained: WithTft) -> None:
    """Chunks of one product, or of all: the same bytes, though a network sees many products at once."""
    whole, _ = await predict(trained, chunk_products=PRODUCTS)
    alone, _ = await predict(trained, chunk_products=1)
    for name, one in whole.stored.results.items():
        assert one.volume.tobytes() == alone.stored.results[name].volume.tobytes()


async def test_numbers_do_not_depend_on_the_place_in_a_block() -> None:
    """The network is asked for a fixed number of products; which of them stands where is nothing."""
    network = tft._network(1).eval()
    values = np.random.default_rng(1).normal(size=(tft.BLOCK, tft.INPUT_WEEKS, 1)).astype(np.float32)
    order = np.random.default_rng(2).permutation(tft.BLOCK)
    assert (tft._forward(network, values)[order] == tft._forward(network, values[order])).all()


async def test_band_holds_about_what_it_promises(trained: WithTft) -> None:
    """Over the weeks that calibrated it: about eight of ten lie between p10 and p90."""
    measured = champion_of(trained, "TFT")
    [(model, _)] = [entry for entry in trained.stored.models if entry[0].tipo_modelo == "TFT"]
    assert measured.error == model.error
    bench = WithTft(trained.root)
    await bench.run(bench.queue.add(claim(CommandKind.BACKTEST, {"holdout_weeks": 6}, number=1)))
    overall = bench.resumo["metrics_by_model"]["TFT"]
    assert 55 <= overall["coverage_p10_p90"] <= 97
