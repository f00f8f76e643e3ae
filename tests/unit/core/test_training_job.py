"""Trains, and what uses them, with real files and real models in this process."""

from __future__ import annotations

import asyncio
import pickle
import shutil
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import pytest_asyncio

from consumer.artefacts.store import FileArtefacts
from consumer.clock import SystemClock
from consumer.errors import LeaseLostError, TransientError
from consumer.execution.finding import NEVER_TRAINED
from consumer.execution.run import DrainingError
from consumer.execution.tasks import ChunkWork, FitWork
from consumer.forecasting.training import TrainingRequest
from consumer.forecasting.types import ChunkRequest, Variant
from consumer.ports.artefacts import StoredFile
from schemas.enums import CommandKind, StatusExecucao
from tests.builders import AS_OF, claim, uuid
from tests.fakes import FakeSales, ManualClock
from tests.unit.core.training_bench import PRODUCTS, Training, champion_of, volumes

if TYPE_CHECKING:
    from collections.abc import Callable

    from consumer.forecasting.champion import Champion

TRAIN, PREDICT, BACKTEST = CommandKind.TRAIN, CommandKind.PREDICT, CommandKind.BACKTEST


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def trained(tmp_path_factory: pytest.TempPathFactory) -> Training:
    """One train on all products."""
    bench = Training(tmp_path_factory.mktemp("artefacts"))
    await bench.run(bench.queue.add(claim(TRAIN)))
    return bench


@pytest.fixture
def copied(trained: Training, tmp_path: Path) -> Path:
    """The stored files, for a test to spoil."""
    shutil.copytree(trained.root, tmp_path, dirs_exist_ok=True)
    return tmp_path


async def predict(artefacts: Path, champion: Champion | None, **options: Any) -> Training:
    bench = Training(artefacts, **options)
    bench.queue.present_champion = champion
    await bench.run(bench.queue.add(claim(PREDICT, {"horizonte_semanas": 4}, number=1)))
    return bench


async def test_train_stores_every_family_and_its_files(trained: Training) -> None:
    """A version of each family; LGBM and the ensemble share files that are made of the execution's id, all of JSON."""
    assert [model.tipo_modelo for model, _ in trained.stored.models] == ["CROSTON", "ETS", "LGBM", "ENSEMBLE"]
    assert {champion for _, champion in trained.stored.models} == {True}
    paths = {model.tipo_modelo: model.arquivo_path for model, _ in trained.stored.models}
    shared = f"models/{uuid(1)}/LGBM"
    assert paths == {"CROSTON": None, "ETS": None, "LGBM": shared, "ENSEMBLE": shared}
    assert set(trained.bundle) == {"choices.json", "cut-volume.json", "revenue.json", "volume.json"}
    lgbm = champion_of(trained)
    assert lgbm.hashes.keys() == trained.bundle.keys()
    assert lgbm.products == PRODUCTS
    assert {"seed", "data_hash", "fingerprint", "libraries", "models"} <= lgbm.parametros.keys()
    assert lgbm.parametros["data_hash"] == trained.resumo["data_hash"]


async def test_steps_of_a_train_tell_what_was_learned(trained: Training) -> None:
    """Step 2 says what chose the models and why they were fitted, step 6 is done whatever was chosen."""
    assert trained.details[2]["trained_models"]["because"] == "there is no champion"
    chosen_by = trained.details[2]["chosen_by"]
    assert trained.details[2]["differs_from_table"] == sum(n for why, n in chosen_by.items() if "instead of" in why)
    assert trained.outcome[6] == "COMPLETED"
    assert trained.details[6]["trained_models"]["fitted"] is True
    assert trained.resumo["trained_models"]["used"] is True
    assert "pinball" not in trained.resumo["metrics"]["overall"]["model"]


async def test_checkpoints_are_gone_at_the_end(trained: Training) -> None:
    """An execution that has ended leaves its models and nothing else."""
    assert not list((trained.root / "work").glob("*"))


@pytest.mark.parametrize(
    ("kind", "nth"),
    [(TrainingRequest, 2), (FitWork, 1), (ChunkWork, 2), (FitWork, 2), (FitWork, 3), (FitWork, 4), (ChunkWork, 5)],
)
async def test_interrupted_train_ends_as_if_nothing_had_happened(
    trained: Training, tmp_path: Path, kind: type, nth: int
) -> None:
    """Wherever the process dies, the next attempt keeps what was done and stores the same bytes and metrics."""
    seen: list[Any] = []

    def die(request: Any) -> None:
        seen.extend([request] if isinstance(request, kind) else [])
        if len(seen) == nth:
            seen.append(None)
            raise TransientError("killed")

    bench = Training(tmp_path, before=die)
    first = bench.queue.add(claim(TRAIN))
    with pytest.raises(TransientError):
        await bench.run(first)
    done = bench.work
    await bench.run(bench.queue.resumed(first))
    assert done.total() < trained.work.total()
    assert bench.work == trained.work, "something was computed twice"
    assert bench.bundle == trained.bundle
    assert bench.stored.metrics == trained.stored.metrics
    assert {**bench.resumo, "models_trained": None} == {**trained.resumo, "models_trained": None}


async def test_blocks_and_their_number_at_once_change_nothing(trained: Training, tmp_path: Path) -> None:
    """Other blocks, three at a time: the same models and the same metrics."""
    bench = Training(tmp_path, chunk_products=3, parallel=3)
    await bench.run(bench.queue.add(claim(TRAIN)))
    assert bench.bundle == trained.bundle
    assert bench.stored.metrics == trained.stored.metrics


class MeetingArtefacts(FileArtefacts):
    """The first two who read wait for each other, so that both have begun before either has ended."""

    readers = 0

    async def read(self, file: StoredFile) -> bytes:
        self.readers += 1
        self._met = asyncio.Barrier(2) if self.readers == 1 else self._met
        if self.readers <= 2:
            async with asyncio.timeout(5):
                await self._met.wait()
        return await super().read(file)


async def test_hash_of_what_was_learned_counts_every_block(trained: Training, tmp_path: Path) -> None:
    """Two blocks that are read at the same moment both count in the hash of the sales behind the models."""
    bench = Training(tmp_path, chunk_products=PRODUCTS // 2, parallel=2)
    bench.job._artefacts = MeetingArtefacts(tmp_path, SystemClock())
    await bench.run(bench.queue.add(claim(TRAIN)))
    assert bench.learned_from == trained.learned_from


async def test_lost_checkpoints_are_made_again(trained: Training, tmp_path: Path) -> None:
    """After the plan another machine, without the files, goes on: the same bytes."""
    bench = Training(tmp_path, before=lambda request: drain_in_chunks(bench, request))
    first = bench.queue.add(claim(TRAIN))
    with pytest.raises(DrainingError):
        await bench.run(first)
    assert len(bench.stored.summaries) == 1
    shutil.rmtree(tmp_path)
    bench.draining.clear()
    bench.compute._before = None
    await bench.run(bench.queue.resumed(first))
    assert bench.bundle == trained.bundle
    assert bench.stored.metrics == trained.stored.metrics


def drain_in_chunks(bench: Training, request: Any) -> None:
    if isinstance(request, ChunkWork) and request.request.task == "backtest":
        bench.draining.set()


async def test_checkpoint_of_another_version_is_made_again(trained: Training, tmp_path: Path) -> None:
    """A model that this version cannot read, whole as it is, costs an attempt and not the execution."""
    bench = Training(tmp_path, before=lambda request: drain_in_chunks(bench, request))
    first = bench.queue.add(claim(TRAIN))
    with pytest.raises(DrainingError):
        await bench.run(first)
    age(tmp_path / "work")
    bench.draining.clear()
    bench.compute._before = None
    with pytest.raises(TransientError, match="made anew"):
        await bench.run(bench.queue.resumed(first))
    await bench.run(bench.queue.resumed(first))
    assert bench.bundle == trained.bundle


def age(work: Path) -> None:
    """Put a model of another format in the place of the first one, under a name that vouches for it."""
    content = b'{"format": "of another version"}'
    [path] = work.rglob("cut-volume.*.json")
    path.unlink()
    path.with_name(f"cut-volume.{sha256(content).hexdigest()}.json").write_bytes(content)


async def test_drain_stops_between_blocks(tmp_path: Path) -> None:
    """A process that shuts down while it learns keeps the block in hand and hands back."""
    bench = Training(
        tmp_path, before=lambda request: bench.draining.set() if isinstance(request, TrainingRequest) else None
    )
    with pytest.raises(DrainingError):
        await bench.run(bench.queue.add(claim(TRAIN)))
    assert len(bench.asked(TrainingRequest)) == 1
    assert bench.stored.plan is None


async def test_learning_tells_how_far_it_is_and_notices_a_lost_lease(tmp_path: Path) -> None:
    """Step 2 reports at most once a second, with what is left; the report of one who lost the lease is refused."""
    clock = ManualClock()

    def take_time(request: Any) -> None:
        clock.seconds += 0.6 if isinstance(request, TrainingRequest | ChunkWork) else 0.0
        if isinstance(request, FitWork):
            bench.stored.epoch = 9

    bench = Training(tmp_path, clock=clock, before=take_time, chunk_products=2)
    with pytest.raises(LeaseLostError):
        await bench.run(bench.queue.add(claim(TRAIN)))
    told = [one.progress for one in bench.statuses if one.progress is not None and one.progress.eta_seconds is not None]
    assert [(one.step, one.eta_seconds) for one in told] == [(2, 6.0), (2, 4.8), (2, 3.6)]


async def test_unchanged_data_are_not_fitted_again(trained: Training, copied: Path) -> None:
    """A second train on the same data takes over the champion's files, says so, and is a version like any other."""
    bench = Training(copied)
    bench.queue.present_champion = champion_of(trained)
    await bench.run(bench.queue.add(claim(TRAIN, number=2)))
    assert bench.asked(FitWork) == []
    stored = bench.queue.stored[uuid(2)]
    assert [(model.tipo_modelo, promoted) for model, promoted in stored.models][-2:] == [
        ("LGBM", False),
        ("ENSEMBLE", False),
    ]
    assert (copied / "models" / uuid(2) / "LGBM" / "volume.json").read_bytes() == trained.bundle["volume.json"]
    about = bench.resumo["trained_models"]
    assert (about["fitted"], about["reused_version"]) == (False, 3)
    assert "force_retrain fits again" in about["because"]
    assert stored.metrics == trained.stored.metrics


@pytest.mark.parametrize(
    ("data", "changes", "because"),
    [
        ({"force_retrain": True}, {}, "force_retrain"),
        ({}, {"parametros": {"fingerprint": "other"}}, "data, parameters, seed or libraries differ"),
        ({}, {"arquivo_path": "models/gone/LGBM"}, "cannot be opened"),
    ],
)
async def test_reasons_to_fit_again(
    trained: Training, copied: Path, data: dict[str, Any], changes: dict[str, Any], because: str
) -> None:
    """force_retrain, other data, or a champion whose files are gone: everything is fitted, and the summary says why."""
    bench = Training(copied)
    bench.queue.present_champion = champion_of(trained, **changes)
    await bench.run(bench.queue.add(claim(TRAIN, data, number=2)))
    assert len(bench.asked(FitWork)) == 4
    assert because in bench.resumo["trained_models"]["because"]


async def test_unusable_champion_is_replaced_by_what_works(trained: Training, copied: Path) -> None:
    """A champion without files gives way to any challenger that was measured, also one that is no better."""
    bench = Training(copied)
    bench.queue.present_champion = champion_of(trained, arquivo_path="models/gone/LGBM")
    await bench.run(bench.queue.add(claim(TRAIN, number=2)))
    by_type = {entry["tipo_modelo"]: entry for entry in bench.resumo["models_trained"]}
    assert by_type["LGBM"]["promoted"] is by_type["ENSEMBLE"]["promoted"] is True
    assert "cannot be used" in by_type["LGBM"]["reason"]
    assert by_type["ETS"]["promoted"] is False


async def test_predict_uses_the_champion(trained: Training) -> None:
    """A predict follows the choices, uses the model, and has revenue both ways."""
    bench = await predict(trained.root, champion_of(trained))
    assert bench.details[2]["differs_from_table"] == trained.details[2]["differs_from_table"] > 0
    assert bench.resumo["trained_models"] == {"used": True, "champion": 3, "trained_by": uuid(1)}
    assert all(forecast.direct_revenue is not None for forecast in bench.stored.results.values())
    assert bench.asked(FitWork) == []


async def test_table_stands_where_the_automatic_choice_is_off(trained: Training) -> None:
    """With the setting off no product differs from the table; the models are still there for those that name them."""
    bench = await predict(trained.root, champion_of(trained), automatic_choice=False)
    assert bench.details[2]["differs_from_table"] == 0
    assert bench.resumo["trained_models"]["used"] is True


async def test_predict_before_any_train_falls_back(tmp_path: Path) -> None:
    """Without a champion the table's next models run, and step 6 says what to do."""
    bench = await predict(tmp_path, None)
    assert bench.statuses[-1].status is StatusExecucao.CONCLUIDO
    assert bench.outcome[6] == "SKIPPED"
    assert bench.details[6]["reason"].startswith(NEVER_TRAINED)
    assert bench.resumo["trained_models"] == {"used": False, "reason": NEVER_TRAINED}


def empty(directory: Path) -> bool:
    return not list(directory.iterdir())


class Exploit:
    """What pickle would run on loading."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self._path,)


def swap_for_pickle(directory: Path, proof: Path) -> str:
    (directory / "volume.json").write_bytes(pickle.dumps(Exploit(proof)))
    return "was altered"


def cut_off(directory: Path, proof: Path) -> str:
    del proof
    path = directory / "volume.json"
    path.write_bytes(path.read_bytes()[:1000])
    return "was altered"


def link_away(directory: Path, proof: Path) -> str:
    path = directory / "choices.json"
    path.rename(proof.with_suffix(".moved"))
    path.symlink_to(proof.with_suffix(".moved"))
    return "cannot be opened"


def remove(directory: Path, proof: Path) -> str:
    del proof
    (directory / "choices.json").unlink()
    return "cannot be opened"


@pytest.mark.parametrize("spoil", [swap_for_pickle, cut_off, link_away, remove])
async def test_spoiled_files_are_refused_and_the_predict_goes_on(
    trained: Training, copied: Path, spoil: Callable[[Path, Path], str]
) -> None:
    """Whatever stands in the place of a stored model: nothing in it runs, the predict falls back and says why."""
    champion = champion_of(trained)
    proof = copied / "proof"
    reason = spoil(copied / str(champion.arquivo_path), proof)
    bench = await predict(copied, champion)
    assert bench.statuses[-1].status is StatusExecucao.CONCLUIDO
    assert set(bench.stored.results) == set(volumes())
    assert reason in bench.resumo["trained_models"]["reason"]
    assert reason in bench.details[6]["reason"]
    assert not proof.exists()


@pytest.mark.parametrize("content", [b"", b"[]", b"\x80\x04.", b'{"format": "other"}', b'{"boosters": ["tree\\n"]}'])
async def test_files_that_are_no_models_are_refused_though_the_database_vouches(
    trained: Training, copied: Path, content: bytes
) -> None:
    """Content of another format, with the hash that the database remembers: refused by the reader, and fallen back."""
    champion = champion_of(trained)
    (copied / str(champion.arquivo_path) / "volume.json").write_bytes(content)
    hashes = {**champion.hashes, "volume.json": sha256(content).hexdigest()}
    bench = await predict(copied, replace(champion, parametros={**champion.parametros, "files": hashes}))
    assert bench.statuses[-1].status is StatusExecucao.CONCLUIDO
    assert "cannot be used" in bench.resumo["trained_models"]["reason"]


@pytest.mark.parametrize("path", ["../../etc", "/etc/passwd", None, f"models/{uuid(1)}/../LGBM"])
async def test_path_that_leads_elsewhere_is_not_followed(trained: Training, path: str | None) -> None:
    """A path that somebody wrote into the database opens nothing; the predict falls back."""
    bench = await predict(trained.root, champion_of(trained, arquivo_path=path))
    assert bench.statuses[-1].status is StatusExecucao.CONCLUIDO
    assert "cannot be used" in bench.resumo["trained_models"]["reason"]


async def test_champion_that_is_lost_on_the_way_is_done_without(trained: Training, copied: Path) -> None:
    """Files that vanish between two attempts of a predict: its products go to their next model, the summary tells."""
    bench = Training(copied, before=lambda request: bench.draining.set() if isinstance(request, ChunkWork) else None)
    bench.queue.present_champion = champion_of(trained)
    first = bench.queue.add(claim(PREDICT, {"horizonte_semanas": 4}))
    with pytest.raises(DrainingError):
        await bench.run(first)
    shutil.rmtree(copied / "models")
    bench.draining.clear()
    await bench.run(bench.queue.resumed(first))
    assert bench.statuses[-1].status is StatusExecucao.CONCLUIDO
    assert "lost while the execution ran" in bench.resumo["trained_models"]["reason"]
    assert len(bench.stored.results) == PRODUCTS


async def test_backtest_learns_nothing_of_its_holdout(tmp_path: Path) -> None:
    """Rows, models and evidence of a backtest end before the weeks it holds out; then it measures with these models."""
    bench = Training(tmp_path)
    await bench.run(bench.queue.add(claim(BACKTEST, {"holdout_weeks": 6})))
    known = AS_OF - timedelta(weeks=6)
    assert {request.as_of for request in bench.asked(TrainingRequest)} == {known}
    newest = np.datetime64(known, "D")
    assert all(request.sales.week.max() <= newest for request in bench.asked(TrainingRequest))
    evidence = [work.request for work in bench.asked(ChunkWork) if work.request.task == "train"]
    assert {request.as_of for request in evidence} == {known}
    assert all(request.sales.week.max() <= newest for request in evidence)
    assert [fit.known_until for fit in bench.asked(FitWork)] == [known - timedelta(weeks=13), known]
    measured = [work for work in bench.asked(ChunkWork) if work.request.task == "backtest"]
    assert {(work.request.as_of, work.request.horizon) for work in measured} == {(AS_OF, 6)}
    assert {name for work in measured for name, _ in work.models} == {"choices", "volume"}
    assert bench.stored.models == []
    assert not (tmp_path / "models").exists()


async def test_few_products_train_no_global_model(tmp_path: Path) -> None:
    """Below the setting nothing is learned and nothing written; the families that were used are stored as ever."""
    bench = Training(tmp_path, global_products=PRODUCTS + 1)
    await bench.run(bench.queue.add(claim(TRAIN)))
    assert (
        bench.resumo["trained_models"]["reason"] == f"a global model needs {PRODUCTS + 1} products with sales, not 12"
    )
    assert bench.asked(TrainingRequest) == []
    assert {model.tipo_modelo for model, _ in bench.stored.models} <= {"ETS", "CROSTON"}
    assert empty(tmp_path)


async def test_too_short_histories_train_no_global_model(tmp_path: Path) -> None:
    """Rows that are too few to learn from are a reason, not a failure."""
    bench = Training(tmp_path)
    bench.sales = FakeSales(volumes(weeks=14))
    bench.job._sales = bench.sales
    await bench.run(bench.queue.add(claim(TRAIN)))
    assert "rows to learn from" in bench.resumo["trained_models"]["reason"]
    assert bench.statuses[-1].status is StatusExecucao.CONCLUIDO


async def test_command_and_subset_override_what_was_learned(trained: Training) -> None:
    """``modelo`` of the command stands above every choice, for the products that were asked for alone."""
    bench = Training(trained.root)
    bench.queue.present_champion = champion_of(trained)
    data = {"horizonte_semanas": 3, "modelo": "LGBM", "produto_ids": ["p01", "p02"]}
    await bench.run(bench.queue.add(claim(PREDICT, data)))
    assert {name: one.variant for name, one in bench.stored.results.items()} == {
        "p01": Variant.LGBM,
        "p02": Variant.LGBM,
    }
    assert bench.outcome[6] == "COMPLETED"


async def test_chunks_carry_no_model_but_its_place(trained: Training) -> None:
    """What goes to a model process of a model is a path and a hash."""
    bench = await predict(trained.root, champion_of(trained))
    works = bench.asked(ChunkWork)
    assert works
    assert all(isinstance(file, StoredFile) for work in works for _, file in work.models)
    assert bench.asked(ChunkRequest) == []
