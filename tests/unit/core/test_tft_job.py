"""Trains, predicts and backtests with a TFT, which is simulated here, and what is done without it."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import pytest_asyncio

from consumer import worker_role
from consumer.errors import TransientError
from consumer.execution.finding import NO_TFT_TRAINED
from consumer.execution.run import NO_EXTRA, DrainingError
from consumer.execution.tasks import ChunkWork, FitWork
from consumer.forecasting.fitting import TFT_SHARE
from consumer.forecasting.global_model import tft
from consumer.forecasting.training import TrainingRequest
from consumer.forecasting.types import Variant
from consumer.settings import Settings
from schemas.enums import CommandKind, StatusExecucao
from tests.builders import AS_OF, claim, uuid
from tests.unit.core.simulated_tft import put_simulated_tft
from tests.unit.core.training_bench import Training, champion_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from consumer.forecasting.types import PlannedProduct

TRAIN, PREDICT, BACKTEST = CommandKind.TRAIN, CommandKind.PREDICT, CommandKind.BACKTEST
PRODUCTS = 24  # a TFT needs 20
BY_TABLE = {"automatic_choice": False}


@pytest.fixture(scope="module", autouse=True)
def simulated_tft() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        put_simulated_tft(monkeypatch)
        yield


class WithTft(Training):
    """A bench of a worker that has the extra, or has not if ``no_tft`` says why."""

    def __init__(self, artefacts: Path, **options: Any) -> None:
        super().__init__(artefacts, **{"products": PRODUCTS, "no_tft": None, **options})

    @property
    def tft_bundle(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted((self.root / "models").rglob("TFT/*"))}

    @property
    def about_tft(self) -> Any:
        return self.resumo["trained_models"].get("tft")

    @property
    def tft_fits(self) -> list[FitWork]:
        return [work for work in self.asked(FitWork) if work.variant is Variant.TFT]

    @property
    def planned(self) -> dict[str, PlannedProduct]:
        chunks = self.stored.chunks.values()
        return {product.product_id: product for chunk in chunks for product in chunk.products}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def trained(tmp_path_factory: pytest.TempPathFactory) -> WithTft:
    """A train where the extra is."""
    bench = WithTft(tmp_path_factory.mktemp("with"))
    await bench.run(bench.queue.add(claim(TRAIN)))
    return bench


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plain(tmp_path_factory: pytest.TempPathFactory) -> WithTft:
    """The same train where it is not."""
    bench = WithTft(tmp_path_factory.mktemp("without"), no_tft=NO_EXTRA)
    await bench.run(bench.queue.add(claim(TRAIN)))
    return bench


@pytest.fixture
def copied(trained: WithTft, tmp_path: Path) -> Path:
    shutil.copytree(trained.root, tmp_path, dirs_exist_ok=True)
    return tmp_path


async def predict(artefacts: Path, trained: WithTft, **options: Any) -> WithTft:
    data = {"horizonte_semanas": 4, **options.pop("data", {})}
    champion_tft = options.pop("champion_tft", champion_of(trained, "TFT"))
    bench = WithTft(artefacts, **options)
    bench.queue.present_champion, bench.queue.present_tft = champion_of(trained), champion_tft
    await bench.run(bench.queue.add(claim(PREDICT, data, number=1)))
    return bench


async def test_train_stores_a_version_of_the_tft_with_files_of_its_own(trained: WithTft) -> None:
    """Its row names its files, parameters and the evidence that measured it on all products."""
    stored = {model.tipo_modelo: (model, champion) for model, champion in trained.stored.models}
    assert set(stored) == {"CROSTON", "ETS", "LGBM", "ENSEMBLE", "TFT"}
    model, promoted = stored["TFT"]
    assert promoted
    assert model.arquivo_path == f"models/{uuid(1)}/TFT"
    assert set(trained.tft_bundle) == {"choices.json", "cut-tft.safetensors", "tft.safetensors"}
    assert model.parametros["files"] == {name: sha256(one).hexdigest() for name, one in trained.tft_bundle.items()}
    assert model.parametros["models"] == {"tft": {"simulated": True}}
    assert model.parametros["products"] == PRODUCTS
    assert {"seed", "data_hash", "fingerprint", "libraries"} <= model.parametros.keys()
    assert model.metricas_treino["by_variant"].keys() == {"TFT"}


async def test_lgbm_is_the_same_with_the_extra_and_without(trained: WithTft, plain: WithTft) -> None:
    """All of its files, byte for byte, but for what the choices add of the TFT; its fingerprint tells them apart."""
    ours, theirs = dict(trained.bundle), dict(plain.bundle)
    choices = json.loads(ours.pop("choices.json"))
    assert set(choices.pop("tft")) == {"losses", "measured", "shifts"}
    assert json.dumps(choices, sort_keys=True).encode() == theirs.pop("choices.json")
    assert ours == theirs
    assert champion_of(trained).fingerprint != champion_of(plain).fingerprint


async def test_without_the_extra_a_train_says_why_there_is_no_tft(plain: WithTft) -> None:
    """Step 3 is skipped with the reason, and nothing of a TFT is stored."""
    assert plain.outcome[3] == "SKIPPED"
    assert plain.details[3]["reason"].startswith(NO_EXTRA)
    assert plain.tft_bundle == {}
    assert plain.about_tft is None
    assert plain.tft_fits == []


async def test_step_3_of_a_train_fits_the_last_tft(trained: WithTft) -> None:
    """It is completed also where the evidence gives the TFT no product; the network for the files knows every week."""
    assert trained.outcome[3] == "COMPLETED"
    assert trained.details[3]["trained_models"]["tft"] == {"used": True}
    assert [fit.known_until for fit in trained.tft_fits] == [AS_OF - timedelta(weeks=13), AS_OF]


async def test_predict_gives_the_tft_the_products_of_the_table(trained: WithTft) -> None:
    """Every regular or erratic one of class A or B, and no other; its band is calibrated and in order."""
    bench = await predict(trained.root, trained, **BY_TABLE)
    due = {
        name
        for name, one in bench.planned.items()
        if one.padrao_demanda in {"REGULAR", "ERRATICO"} and one.classe_abc in {"A", "B"}
    }
    assert due
    assert {name for name, one in bench.stored.results.items() if one.variant is Variant.TFT} == due
    assert bench.outcome[3] == "COMPLETED"
    assert bench.details[3]["models"] == {"TFT": len(due)}
    assert bench.about_tft == {"champion": 3, "trained_by": uuid(1)}
    for name in due:
        volume = bench.stored.results[name].volume
        assert (volume >= 0).all()
        assert (np.diff(volume, axis=1) >= 0).all()


async def test_chunks_without_a_product_for_the_tft_get_none(trained: WithTft) -> None:
    """A model process that never needs the network never loads it."""
    bench = await predict(trained.root, trained, **BY_TABLE)
    for work in bench.asked(ChunkWork):
        wanted = any(Variant.TFT in product.models for product in work.request.products)
        assert ("tft" in dict(work.models)) is wanted
    assert {"tft" in dict(work.models) for work in bench.asked(ChunkWork)} == {True, False}


async def test_ensemble_of_class_a_takes_six_tenths_of_the_tft(trained: WithTft) -> None:
    """And four of LGBM; other classes have the ensemble that they have without a TFT."""

    async def volumes_of(modelo: str, **options: Any) -> dict[str, Any]:
        bench = await predict(trained.root, trained, data={"modelo": modelo}, **options)
        assert {one.variant.value for one in bench.stored.results.values()} == {modelo}
        classes = {name: one.classe_abc for name, one in bench.planned.items()}
        return {name: (classes[name], one.volume) for name, one in bench.stored.results.items()}

    ensemble, without = await volumes_of("ENSEMBLE"), await volumes_of("ENSEMBLE", no_tft=NO_EXTRA)
    network, lgbm = await volumes_of("TFT"), await volumes_of("LGBM")
    for name, (abc, volume) in ensemble.items():
        mean = TFT_SHARE * network[name][1] + (1 - TFT_SHARE) * lgbm[name][1]
        expected = mean if abc == "A" else without[name][1]
        np.testing.assert_allclose(volume[:, 4], np.maximum(expected[:, 4], volume[:, 2]), atol=2e-4)
    assert {abc for abc, _ in ensemble.values()} == {"A", "B", "C"}


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"no_tft": NO_EXTRA}, NO_EXTRA), ({"champion_tft": None}, NO_TFT_TRAINED)],
)
async def test_predict_without_a_tft_falls_back_and_says_so(
    trained: WithTft, options: dict[str, Any], reason: str
) -> None:
    """No extra here, or no TFT trained yet: the next models of the table run, LGBM among them, and step 3 tells."""
    bench = await predict(trained.root, trained, **options, **BY_TABLE)
    assert bench.statuses[-1].status is StatusExecucao.CONCLUIDO
    assert bench.outcome[3] == "SKIPPED"
    assert bench.details[3]["reason"].startswith(reason)
    assert "TFT not available" in bench.details[3]["reason"]
    assert bench.resumo["trained_models"]["used"] is True
    variants = {one.variant for one in bench.stored.results.values()}
    assert Variant.TFT not in variants
    assert Variant.LGBM in variants


@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), lambda path: path.write_bytes(b"\x80\x04.")])
async def test_spoiled_tft_costs_the_tft_alone(trained: WithTft, copied: Path, spoil: Callable[[Path], object]) -> None:
    """Whatever stands in the place of the network: LGBM is used as before, and step 3 says what is wrong."""
    champion = champion_of(trained, "TFT")
    spoil(copied / str(champion.arquivo_path) / "tft.safetensors")
    bench = await predict(copied, trained, **BY_TABLE)
    assert "champion TFT version 3 cannot be used: tft.safetensors" in bench.details[3]["reason"]
    assert bench.resumo["trained_models"]["used"] is True
    assert len(bench.stored.results) == PRODUCTS


async def test_tft_is_calibrated_by_the_choices_of_its_own_train(
    trained: WithTft, plain: WithTft, copied: Path
) -> None:
    """An LGBM champion of another train, which measured no TFT, changes nothing of the TFT's numbers."""
    same = await predict(trained.root, trained, **BY_TABLE)
    bench = WithTft(copied, **BY_TABLE)
    shutil.copytree(plain.root / "models" / uuid(1), copied / "models" / uuid(8))
    bench.queue.present_champion = champion_of(plain, arquivo_path=f"models/{uuid(8)}/LGBM")
    bench.queue.present_tft = champion_of(trained, "TFT")
    await bench.run(bench.queue.add(claim(PREDICT, {"horizonte_semanas": 4})))
    assert any(one.variant is Variant.TFT for one in bench.stored.results.values())
    for name, one in same.stored.results.items():
        assert one.volume.tobytes() == bench.stored.results[name].volume.tobytes()


@pytest.mark.parametrize(("kind", "nth"), [(FitWork, 2), (FitWork, 4), (ChunkWork, 7)])
async def test_interrupted_train_ends_as_if_nothing_had_happened(
    trained: WithTft, tmp_path: Path, kind: type, nth: int
) -> None:
    """Wherever the process dies, also in the fit of a TFT: the same files, metrics and summary."""
    seen: list[Any] = []

    def die(request: Any) -> None:
        seen.extend([request] if isinstance(request, kind) else [])
        if len(seen) == nth:
            seen.append(None)
            raise TransientError("killed")

    bench = WithTft(tmp_path, before=die)
    first = bench.queue.add(claim(TRAIN))
    with pytest.raises(TransientError):
        await bench.run(first)
    await bench.run(bench.queue.resumed(first))
    assert (bench.bundle, bench.tft_bundle) == (trained.bundle, trained.tft_bundle)
    assert bench.stored.metrics == trained.stored.metrics
    assert {**bench.resumo, "models_trained": None} == {**trained.resumo, "models_trained": None}


def drain_after(bench: Callable[[], Training], kind: type, task: str | None = None) -> Callable[[Any], None]:
    def look(request: Any) -> None:
        if isinstance(request, kind) and (task is None or request.request.task == task):
            bench().draining.set()

    return look


async def handed_over(
    tmp_path: Path, *, command: CommandKind, first: Any, second: Any, lost: bool = False, **before: Any
) -> WithTft:
    """An execution that one worker began, and another with other extras ends, on the same directory unless ``lost``."""
    bench = WithTft(tmp_path, before=drain_after(lambda: bench, **before), no_tft=first)
    begun = bench.queue.add(claim(command))
    with pytest.raises(DrainingError):
        await bench.run(begun)
    bench.draining.clear()
    bench.compute._before = None
    bench.job._options = replace(bench.job._options, no_tft=second)
    if lost:
        shutil.rmtree(tmp_path / "work")
    await bench.run(bench.queue.resumed(begun))
    assert bench.statuses[-1].status is StatusExecucao.CONCLUIDO
    return bench


@pytest.mark.parametrize("lost", [False, True], ids=["with its files", "on another disk"])
async def test_planned_tft_is_done_without_on_a_worker_that_has_none(
    plain: WithTft, tmp_path: Path, *, lost: bool
) -> None:
    """A train goes on, stores LGBM's files as ever and no TFT, and the summary says why."""
    bench = await handed_over(
        tmp_path, command=TRAIN, first=None, second=NO_EXTRA, lost=lost, kind=ChunkWork, task="backtest"
    )
    assert bench.about_tft == {"used": False, "reason": NO_EXTRA}
    assert bench.tft_bundle == {}
    assert "TFT" not in {model.tipo_modelo for model, _ in bench.stored.models}
    models = {name: content for name, content in bench.bundle.items() if name != "choices.json"}
    assert models == {name: content for name, content in plain.bundle.items() if name != "choices.json"}
    assert (bench.bundle["choices.json"] == plain.bundle["choices.json"]) is lost


async def test_backtest_goes_on_without_its_tft_on_a_worker_that_has_none(tmp_path: Path) -> None:
    """What was measured with it stays, the rest is measured with the next models."""
    bench = await handed_over(tmp_path, command=BACKTEST, first=None, second=NO_EXTRA, kind=ChunkWork, task="backtest")
    assert bench.about_tft == {"used": False, "reason": NO_EXTRA}
    assert len(bench.stored.metrics) == PRODUCTS


@pytest.mark.parametrize(("first", "second"), [(None, NO_EXTRA), (NO_EXTRA, None)])
async def test_before_the_plan_whoever_goes_on_decides(
    trained: WithTft, plain: WithTft, tmp_path: Path, first: Any, second: Any
) -> None:
    """The worker that ends step 2 learns with what it has, and its train is that of one that was never interrupted."""
    bench = await handed_over(tmp_path, command=TRAIN, first=first, second=second, kind=TrainingRequest)
    like = plain if second else trained
    assert (bench.bundle, bench.tft_bundle) == (like.bundle, like.tft_bundle)
    assert bench.stored.metrics == like.stored.metrics


async def test_plan_without_a_tft_has_no_word_of_it(trained: WithTft, plain: WithTft) -> None:
    """So that an older version of the service, in a rolling upgrade, goes on with it."""
    assert not [name for name in plain.stored.plan["models"] if name.startswith("tft")]
    assert trained.stored.plan["models"]["tft"] is True


async def test_plan_without_a_tft_stays_without_on_a_worker_that_has_one(plain: WithTft, tmp_path: Path) -> None:
    """What is planned is planned."""
    bench = await handed_over(tmp_path, command=TRAIN, first=NO_EXTRA, second=None, kind=ChunkWork, task="backtest")
    assert (bench.bundle, bench.tft_bundle) == (plain.bundle, {})
    assert bench.stored.metrics == plain.stored.metrics


async def test_fit_that_dies_twice_is_done_without(plain: WithTft, tmp_path: Path) -> None:
    """A network that takes too long or too much memory costs one attempt, and not the train."""

    def die(request: Any) -> None:
        if isinstance(request, FitWork) and request.variant is Variant.TFT:
            raise TransientError("a chunk or fit took longer than 1 s and was killed")

    bench = WithTft(tmp_path, before=die)
    first = bench.queue.add(claim(TRAIN))
    with pytest.raises(TransientError):
        await bench.run(first)
    await bench.run(bench.queue.resumed(first))
    assert bench.about_tft["used"] is False
    assert "failed twice: a chunk or fit took longer" in bench.about_tft["reason"]
    assert bench.details[3]["reason"].startswith(bench.about_tft["reason"])
    assert bench.bundle == plain.bundle
    assert champion_of(bench).fingerprint == champion_of(plain).fingerprint


async def test_last_fit_that_dies_twice_leaves_no_version(trained: WithTft, tmp_path: Path) -> None:
    """The evidence was there, the network for later is not: LGBM is stored, the TFT is not, and step 3 tells."""

    def die(request: Any) -> None:
        if isinstance(request, FitWork) and request.variant is Variant.TFT and request.known_until == AS_OF:
            raise TransientError("killed")

    bench = WithTft(tmp_path, before=die)
    first = bench.queue.add(claim(TRAIN))
    with pytest.raises(TransientError):
        await bench.run(first)
    await bench.run(bench.queue.resumed(first))
    assert bench.details[3]["trained_models"]["tft"] == {"used": False, "reason": "its fit failed twice: killed"}
    assert bench.bundle == trained.bundle
    assert bench.tft_bundle == {}


async def test_fit_that_raises_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever torch says."""

    def broken(*_: Any, **__: Any) -> bytes:
        raise RuntimeError("mat1 and mat2 do not fit")

    monkeypatch.setattr(tft, "fit_tft", broken)
    bench = WithTft(tmp_path)
    await bench.run(bench.queue.add(claim(TRAIN)))
    assert bench.about_tft["reason"] == "no TFT: its fit failed: RuntimeError: mat1 and mat2 do not fit"
    assert bench.statuses[-1].status is StatusExecucao.CONCLUIDO


async def test_few_histories_train_no_tft(tmp_path: Path) -> None:
    """LGBM learns from fewer."""
    bench = WithTft(tmp_path, products=12)
    await bench.run(bench.queue.add(claim(TRAIN)))
    assert "no TFT: 12 products with 14 weeks, 20 are needed" in bench.details[3]["reason"]
    assert bench.resumo["trained_models"]["used"] is True
    assert bench.tft_bundle == {}


async def test_unchanged_data_are_not_fitted_again(trained: WithTft, copied: Path) -> None:
    """A second train takes over both champions' files."""
    bench = WithTft(copied)
    bench.queue.present_champion, bench.queue.present_tft = champion_of(trained), champion_of(trained, "TFT")
    await bench.run(bench.queue.add(claim(TRAIN, number=2)))
    assert bench.asked(FitWork) == []
    directory = copied / "models" / uuid(2) / "TFT"
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == trained.tft_bundle


async def test_unchanged_data_without_the_champion_tft_fit_it_alone(trained: WithTft, copied: Path) -> None:
    """LGBM's files are taken over; the TFT's, of which there are none, come out the same."""
    bench = WithTft(copied)
    bench.queue.present_champion = champion_of(trained)
    await bench.run(bench.queue.add(claim(TRAIN, number=2)))
    assert {work.variant for work in bench.asked(FitWork)} == {Variant.TFT}
    directory = copied / "models" / uuid(2) / "TFT"
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == trained.tft_bundle


async def test_installing_the_extra_trains_anew(trained: WithTft, plain: WithTft, tmp_path: Path) -> None:
    """A champion that was trained without a TFT is no reason to take anything over."""
    shutil.copytree(plain.root, tmp_path, dirs_exist_ok=True)
    bench = WithTft(tmp_path)
    bench.queue.present_champion = champion_of(plain)
    await bench.run(bench.queue.add(claim(TRAIN, number=2)))
    assert "differ from the champion's" in bench.resumo["trained_models"]["because"]
    assert (tmp_path / "models" / uuid(2) / "TFT" / "tft.safetensors").read_bytes() == trained.tft_bundle[
        "tft.safetensors"
    ]


async def test_backtest_measures_a_tft_that_knows_nothing_of_the_holdout(tmp_path: Path) -> None:
    """Both networks end before it; the second one is what is measured."""
    bench = WithTft(tmp_path, **BY_TABLE)
    await bench.run(bench.queue.add(claim(BACKTEST, {"holdout_weeks": 6})))
    known = AS_OF - timedelta(weeks=6)
    assert [fit.known_until for fit in bench.tft_fits] == [known - timedelta(weeks=13), known]
    assert Variant.TFT in {metric.variant for metrics in bench.stored.metrics.values() for metric in metrics}
    assert bench.stored.models == []


async def test_champion_tft_that_is_lost_on_the_way_is_done_without(trained: WithTft, copied: Path) -> None:
    """Between two attempts of a predict: its products go to their next model, the others lose nothing."""
    bench = WithTft(copied, before=drain_after(lambda: bench, ChunkWork), **BY_TABLE)
    bench.queue.present_champion, bench.queue.present_tft = champion_of(trained), champion_of(trained, "TFT")
    first = bench.queue.add(claim(PREDICT, {"horizonte_semanas": 4}))
    with pytest.raises(DrainingError):
        await bench.run(first)
    shutil.rmtree(copied / "models" / uuid(1) / "TFT")
    bench.draining.clear()
    bench.compute._before = None
    await bench.run(bench.queue.resumed(first))
    assert bench.resumo["trained_models"]["used"] is True
    assert bench.about_tft["used"] is False
    assert "cannot be opened" in bench.about_tft["reason"]
    assert len(bench.stored.results) == PRODUCTS


@pytest.mark.parametrize(
    ("there", "wanted", "why"),
    [(True, True, None), (False, True, NO_EXTRA), (True, False, "TFT is switched off here")],
)
def test_worker_has_a_tft_where_the_extra_is_and_the_setting_says_so(
    monkeypatch: pytest.MonkeyPatch, *, there: bool, wanted: bool, why: str | None
) -> None:
    """By default where it can be used, and torch is not loaded to find out."""
    before = "torch" in sys.modules
    monkeypatch.setattr(worker_role, "installed", lambda: there)
    assert worker_role.why_no_tft(Settings(tft=wanted)) == why
    assert ("torch" in sys.modules) is before
