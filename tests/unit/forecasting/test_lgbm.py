"""The global LightGBM model and its artefact."""

from __future__ import annotations

import json
import pickle
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import consumer
from consumer.forecasting.global_model.base import UnusableArtefactError
from consumer.forecasting.global_model.booster import TooFewRowsError
from consumer.forecasting.global_model.lgbm import fit_lgbm, load_lgbm
from consumer.forecasting.global_model.training import HORIZON, training_table
from consumer.forecasting.training import FitRequest, TrainingRequest, fit_model, training_rows
from schemas.enums import TargetType
from tests.unit.forecasting.builders import planned, rows, sales
from tests.unit.forecasting.panels import LAST, PRODUCTS, TOTAL, artefact, panel_of, world


def parts(size: int) -> list[Any]:
    names = list(world())
    return [
        training_table(
            panel_of({name: world()[name] for name in names[first : first + size]}),
            TargetType.VOLUME,
            products_total=TOTAL,
            seed=1,
        )
        for first in range(0, PRODUCTS, size)
    ]


def test_the_same_rows_give_the_same_bytes_however_they_were_cut() -> None:
    """Chunks of any size, in any order."""
    tables = parts(50)
    assert fit_lgbm(reversed(tables), TargetType.VOLUME, known_until=LAST, seed=1) == artefact()


def test_demand_after_known_until_is_not_learned() -> None:
    """A model that must not know the last weeks is the same whatever happened in them."""
    changed = {name: np.concatenate((volume[:-8], volume[-8:] * 9 + 5)) for name, volume in world().items()}
    table = training_table(panel_of(changed), TargetType.VOLUME, products_total=TOTAL, seed=1)
    until = LAST - timedelta(weeks=8)
    assert fit_lgbm([table], TargetType.VOLUME, known_until=until, seed=1) == artefact(held_out=8)


def test_a_products_forecast_does_not_depend_on_the_others() -> None:
    """One product alone has the numbers that it has among all."""
    model = load_lgbm(artefact())
    everything = model.predict(panel_of(world()), 13)
    name = "product-031"
    alone = model.predict(panel_of({name: world()[name]}), 13)
    assert alone[0].tobytes() == everything[31].tobytes()


def test_quantiles_are_in_order_and_follow_the_level() -> None:
    """Half of the products' next weeks would be expected around their means."""
    quantiles = load_lgbm(artefact()).predict(panel_of(world()), 13)
    assert (np.diff(quantiles, axis=-1) >= 0).all()
    means = np.array([volume.mean() for volume in world().values()])
    assert np.corrcoef(quantiles[:, :, 2].mean(axis=1), means)[0, 1] > 0.9


def test_weeks_beyond_the_horizon_repeat_its_last() -> None:
    """The model was never shown how the 14th week differs from the 13th."""
    model = load_lgbm(artefact())
    quantiles = model.predict(panel_of(world()), HORIZON + 4)
    np.testing.assert_array_equal(quantiles[:, :HORIZON], model.predict(panel_of(world()), HORIZON))
    for week in range(HORIZON, HORIZON + 4):
        np.testing.assert_array_equal(quantiles[:, week], quantiles[:, HORIZON - 1])


def test_too_little_history_is_said() -> None:
    """A dozen rows are no model."""
    table = training_table(panel_of({"p": [1, 2, 3, 4]}), TargetType.VOLUME, products_total=1, seed=1)
    with pytest.raises(TooFewRowsError, match="6 rows to learn from, 2000 are needed"):
        fit_lgbm([table], TargetType.VOLUME, known_until=LAST, seed=1)
    with pytest.raises(TooFewRowsError, match="0 rows"):
        fit_lgbm([], TargetType.VOLUME, known_until=LAST, seed=1)


class Malicious:
    """What a pickle can do to who loads it."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return exec, ("raise SystemExit('code of the artefact ran')",)


def altered(**changes: object) -> bytes:
    return json.dumps(json.loads(artefact()) | changes).encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(pickle.dumps(Malicious()), "not JSON", id="pickle"),
        pytest.param(b"", "not JSON", id="empty"),
        pytest.param(b"[]", "not a JSON object", id="list"),
        pytest.param(b"{}", "format is 'None'", id="no format"),
        pytest.param(b"[" * 100_000, "not JSON", id="deep"),
    ],
)
def test_what_is_no_artefact_is_refused(content: bytes, message: str) -> None:
    """Nothing of it runs, and the error says what it is not."""
    with pytest.raises(UnusableArtefactError, match=message):
        load_lgbm(content)


def test_a_damaged_artefact_is_refused() -> None:
    """Cut off, of other features, without boosters, or with boosters that are none."""
    with pytest.raises(UnusableArtefactError, match="not JSON"):
        load_lgbm(artefact()[:-100])
    with pytest.raises(UnusableArtefactError, match="features is"):
        load_lgbm(altered(features=["a"]))
    with pytest.raises(UnusableArtefactError, match="five boosters"):
        load_lgbm(altered(boosters=[]))
    for text in ("", "tree\nversion=v4\n", pickle.dumps(Malicious()).decode("latin-1"), 5, None):
        with pytest.raises(UnusableArtefactError, match="booster"):
            load_lgbm(altered(boosters=[text] * 5))
    whole = json.loads(artefact())["boosters"]
    with pytest.raises(UnusableArtefactError, match="booster"):
        load_lgbm(altered(boosters=[text[: len(text) // 2] for text in whole]))


def test_nothing_of_the_service_can_load_a_pickle() -> None:
    """No module of the domain names pickle, joblib, cloudpickle or torch's own loader."""
    forbidden = ("pickle", "joblib", "torch.load", "shelve", "dill", "marshal")
    for path in (Path(consumer.__file__).parent / "forecasting").rglob("*.py"):
        text = path.read_text()
        found = [word for word in forbidden if f"import {word}" in text or f"{word}." in text or f'"{word}"' in text]
        assert not found, path


def test_rows_and_fit_of_worker_processes_go_through_arrow_files(tmp_path: Path) -> None:
    """Two chunks' files, in any order, give the model; products without usable sales are left out."""
    histories = {name: rows(volume) for name, volume in world().items()} | {"bad": rows([1, np.nan]), "none": rows([])}
    names = list(histories)
    files: list[str] = []
    for number, some in enumerate((names[:70], names[70:])):
        chunk = sales({name: histories[name] for name in some})
        request = TrainingRequest(tuple(planned(name) for name in some), chunk, LAST, TOTAL, 1)
        path = tmp_path / f"{number}.arrow"
        path.write_bytes(training_rows(request).by_target[TargetType.FATURAMENTO])
        files.append(str(path))
    fitted = [
        fit_model(FitRequest(order, TargetType.FATURAMENTO, LAST, 1)) for order in (tuple(files), tuple(files[::-1]))
    ]
    assert fitted[0] == fitted[1]
    model = load_lgbm(fitted[0])
    assert (model.target, model.known_until) == (TargetType.FATURAMENTO, LAST)
