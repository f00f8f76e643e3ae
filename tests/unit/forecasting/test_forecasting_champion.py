from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from consumer.forecasting.champion import Bundle, Champion, StoredModel, TrainedModel, trained_models
from consumer.forecasting.promotion import judge

MEASURES = {"products": 40, "weeks": 520, "wape": 50.0}


def challenger(error: float | None, products: int = 100) -> TrainedModel:
    return TrainedModel("LGBM", {"products": products}, {}, error)


def champion(error: float | None = 50.0, products: int = 100) -> Champion:
    return Champion("m", 1, "run", error, "models/run/LGBM", {"products": products})


@pytest.mark.parametrize(
    ("error", "before", "unusable", "promoted", "reason"),
    [
        (40.0, None, None, True, "the first of its type"),
        (None, None, None, False, "not measured"),
        (float("nan"), champion(), None, False, "not measured"),
        (48.9, champion(), None, True, "1.1 points better, 1 are needed"),
        (49.1, champion(), None, False, "0.9 points better, 1 are needed"),
        (51.0, champion(), None, False, "-1 points better"),
        (60.0, champion(), "volume.json was altered", True, "cannot be used: volume.json was altered"),
        (None, champion(), "volume.json was altered", False, "not measured"),
        (60.0, champion(None), None, True, "the champion was never measured"),
        (10.0, champion(products=201), None, False, "of 100 products, the champion of 201"),
        (10.0, champion(products=200), None, True, "40 points better"),
        (60.0, champion(20.0, products=12), None, True, "the champion knows 12 products, this one 100"),
        (60.0, champion(20.0, products=0), None, False, "-40 points better"),
        (31.3, champion(32.3), None, True, "1 points better, 1 are needed"),
    ],
)
def test_verdict_and_its_reason(
    error: float | None, before: Champion | None, unusable: str | None, *, promoted: bool, reason: str
) -> None:
    """A challenger must be better by the margin, measured, and comparable; the reason is kept as the audit trail."""
    verdict = judge(challenger(error), before, 1.0, unusable)
    assert verdict.promoted is promoted
    assert reason in verdict.reason


@pytest.mark.parametrize(("error", "promoted"), [(70.0, True), (79.5, False)])
def test_a_champion_of_calmer_weeks_is_judged_as_if_it_had_seen_these(error: float, *, promoted: bool) -> None:
    """Where a moving average errs four times as much now, so would the champion."""
    before = Champion("m", 1, "run", 20.0, "models/run/LGBM", {"products": 100}, baseline=25.0)
    verdict = judge(replace(challenger(error), baseline=100.0), before, 1.0)
    assert verdict.promoted is promoted
    assert "against 80 (20 in its own weeks, where a moving average had 25, here 100)" in verdict.reason


@pytest.mark.parametrize(
    "parametros",
    [{}, {"files": None, "products": "x", "fingerprint": 3}, {"files": ["a"]}, {"files": "volume.json"}],
)
def test_strange_parameters_are_nothing(parametros: dict[str, Any]) -> None:
    """What somebody else wrote into ``parametros`` is no file, no count and no fingerprint."""
    found = Champion("m", 1, "run", parametros=parametros)
    assert (found.hashes, found.products, found.fingerprint) == ({}, 0, None)


def test_with_a_global_model_families_are_measured_on_all_products() -> None:
    """Each family stands by its best candidate over all products; LGBM and the ensemble refer to the same files."""
    measured = {
        "AUTO_ETS": {**MEASURES, "wape": 52.0},
        "SIMPLE_ETS": {**MEASURES, "wape": 51.0},
        "TSB": {**MEASURES, "wape": None},
        "LGBM": {**MEASURES, "wape": 48.0},
        "ENSEMBLE 0.5": {**MEASURES, "wape": 47.0},
        "ENSEMBLE 0.7": {**MEASURES, "wape": 46.0},
    }
    stored = StoredModel("models/run/LGBM", {"volume.json": "ab"}, {"fingerprint": "f"})
    bundle = Bundle({"LGBM": stored, "ENSEMBLE": stored}, measured)
    resumo = {"data_hash": "h", "metrics_by_family": {"ETS": {**MEASURES, "wape": 10.0}}, "metrics_by_model": {}}
    found = {model.tipo_modelo: model for model in trained_models(resumo, seed=1, holdout_weeks=13, bundle=bundle)}
    assert {name: model.error for name, model in found.items()} == {
        "CROSTON": None,
        "ENSEMBLE": 46.0,
        "ETS": 51.0,
        "LGBM": 48.0,
    }
    assert found["ETS"].metricas_treino["where_chosen"]["wape"] == 10.0
    assert set(found["ETS"].metricas_treino["by_variant"]) == {"AUTO_ETS", "SIMPLE_ETS"}
    assert found["ENSEMBLE"].parametros["variants"]["ENSEMBLE 0.7"] == {"weight_of_lgbm": 0.7}
    assert {name: model.arquivo_path for name, model in found.items() if model.arquivo_path} == {
        "ENSEMBLE": "models/run/LGBM",
        "LGBM": "models/run/LGBM",
    }
    assert "files" not in found["ETS"].parametros
    assert found["LGBM"].parametros["files"] == {"volume.json": "ab"}
