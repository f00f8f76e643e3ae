"""Evidence of the last known weeks, and what follows from it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from consumer.forecasting.choices import MARGIN, decide, load_choices
from consumer.forecasting.classification import DemandShape
from consumer.forecasting.compute import compute_chunk
from consumer.forecasting.evidence import CANDIDATES, LOCAL_CANDIDATES, Evidence, pinball, scale
from consumer.forecasting.global_model.base import UnusableArtefactError
from consumer.forecasting.planning import plan_products
from consumer.forecasting.summary import merge
from consumer.forecasting.trained import NOTHING, Trained, available, load_trained
from consumer.forecasting.types import ChunkResult, ProductProfile, Variant
from schemas.enums import ClasseABC, ClasseXYZ, ModeloForecast, PadraoDemanda, TargetType
from tests.unit.forecasting.builders import AS_OF, overview, planned, request, rows
from tests.unit.forecasting.panels import artefact, world

if TYPE_CHECKING:
    from consumer.forecasting.choices import Choices

NAMES = tuple(world())
CUT = load_trained({"volume": artefact(held_out=13)})


def chunk(names: tuple[str, ...], trained: Trained, task: Any = "train", abc: ClasseABC = ClasseABC.A) -> ChunkResult:
    plan = [planned(name, (Variant.LGBM, Variant.SIMPLE_ETS), abc=abc) for name in names]
    return compute_chunk(request({name: rows(world()[name]) for name in names}, plan, task=task), trained)


@lru_cache(maxsize=1)
def summaries() -> tuple[dict[str, Any], ...]:
    parts = (NAMES[:50], NAMES[50:55], NAMES[55:])
    return tuple(json.loads(json.dumps(chunk(names, CUT).summary)) for names in parts)


def choices() -> Choices:
    return load_choices(decide(summaries()))


def summary_of(losses: dict[str, list[int]]) -> dict[str, Any]:
    return {"evidence": {"tft": False, "losses": losses, "measured": {}, "scores": {}}}


def losses_with(best: str, products: int = 40) -> list[int]:
    return [products, *(products * (800 if name == best else 1000) for name in CANDIDATES)]


def test_evidence_is_the_loss_of_every_candidate() -> None:
    """Twice the pinball loss by the mean change of the known weeks, computed anew for one product and model."""
    name = NAMES[4]
    (evidence,) = [chunk((name,), CUT).summary["evidence"]]
    assert isinstance(evidence, dict)
    known, actual = world()[name][:-13], world()[name][-13:]
    alone = compute_chunk(request({name: rows(known)}, [planned(name, (Variant.TSB,))], task="predict"))
    loss = pinball(actual, alone.forecasts[0].volume).mean() / scale(known)
    (found,) = evidence["losses"].values()
    assert found[0] == 1
    assert found[1 + CANDIDATES.index("TSB")] == pytest.approx(1000 * loss, abs=1)
    assert scale(np.array([1.0, 3.0, 0.0])) == 2.5
    assert pinball(np.array([10.0]), np.array([[6.0, 8.0, 9.0, 10.0, 14.0]])).tolist() == pytest.approx(
        [2 * (0.1 * 4 + 0.25 * 2 + 0.5 * 1 + 0 + 0.1 * 4) / 5]
    )


def test_the_decision_does_not_depend_on_the_order_of_chunks() -> None:
    """Nor on how products were cut into them."""
    whole = json.loads(json.dumps(chunk(NAMES, CUT).summary))
    assert decide(reversed(summaries())) == decide(summaries()) == decide([whole])


def test_every_candidate_is_measured_on_every_product() -> None:
    """The champion's comparison needs them on the same products."""
    found = choices()
    assert set(found.measured) == {Variant.LGBM, Variant.ENSEMBLE, *LOCAL_CANDIDATES}
    assert {value["products"] for value in found.measured.values()} == {len(NAMES)}
    assert found.shifts[TargetType.VOLUME]


@pytest.mark.parametrize("best", ["LGBM", "TSB", "MOVING_AVERAGE_12"])
def test_a_segment_gets_the_model_that_was_best_in_it(best: str) -> None:
    """If it is better than the planned one by the margin; the planned one stays otherwise."""
    found = load_choices(decide([summary_of({"LUMPY/C": losses_with(best)})]))
    assert found.better("LUMPY/C", Variant.CROSTON) == best
    assert found.better("LUMPY/C", Variant(best)) is None
    close = losses_with(best)
    close[1 + CANDIDATES.index("CROSTON")] = round(40 * 800 * (1 + MARGIN / 2))
    assert load_choices(decide([summary_of({"LUMPY/C": close})])).better("LUMPY/C", Variant.CROSTON) is None


def test_the_ensemble_gets_the_weight_that_was_best() -> None:
    """Of those that were tried."""
    found = load_choices(decide([summary_of({"REGULAR/A": losses_with("ENSEMBLE 0.5")})]))
    assert found.better("REGULAR/A", Variant.LGBM) is Variant.ENSEMBLE
    assert found.weights["REGULAR/A"] == 0.5


def test_a_segment_of_few_products_follows_its_pattern_and_that_all() -> None:
    """A handful of products is no evidence of its own."""
    few = {
        "LUMPY/A": losses_with("CROSTON", 3),
        "LUMPY/B": losses_with("TSB", 90),
        "REGULAR/C": losses_with("SBA", 900),
    }
    found = load_choices(decide([summary_of(few)]))
    assert found.better("LUMPY/A", Variant.LGBM) is Variant.TSB
    assert found.better("ERRATICO/A", Variant.LGBM) is Variant.SBA


def test_a_catalogue_too_young_to_decide_by_is_still_measured() -> None:
    """There is nothing to choose by, but without measures a train would store no version of what it fitted."""
    evidence = Evidence()
    evidence.measure(planned("p"), np.ones(5), np.ones(4), dict.fromkeys(CANDIDATES, np.ones((4, 5))))
    found = load_choices(decide([{"evidence": json.loads(json.dumps(evidence.to_json()))}]))
    assert (dict(found.losses), dict(found.weights)) == ({}, {})
    assert {Variant.LGBM, Variant.ENSEMBLE, Variant.TSB} <= set(found.measured)


def test_a_failing_candidate_counts_as_the_worst() -> None:
    """Not as one that was not there, or models that fail on hard products would look good."""
    evidence = Evidence()
    known, actual = np.arange(1.0, 20.0) % 5, np.ones(4)
    forecasts = {"TSB": np.ones((4, 5)), "SBA": np.full((4, 5), 9.0)}
    evidence.measure(planned("p"), known, actual, forecasts)
    (losses,) = evidence.losses.values()
    values = dict(zip(CANDIDATES, losses[1:], strict=True))
    assert values["TSB"] == 0
    assert values["LGBM"] == values["SBA"] > 0


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"format": "another"}', b"[" * 100_000],
)
def test_what_are_no_choices_is_refused(content: bytes) -> None:
    """With what is wrong."""
    with pytest.raises(UnusableArtefactError, match="choices cannot be read"):
        load_choices(content)


def test_choices_with_an_impossible_value_are_refused() -> None:
    """A weight above one, a model that does not exist, shifts that are no numbers."""
    good = json.loads(decide(summaries()))
    for change in ({"weights": {"LUMPY/A": 1.5}}, {"losses": {"LUMPY/A": {"X": 1}}}, {"shifts": {"VOLUME": {"a": []}}}):
        with pytest.raises(UnusableArtefactError):
            load_choices(json.dumps(good | change).encode())


def test_planning_puts_the_better_model_first_and_says_so() -> None:
    """Before the table and the rule for short histories; their models stay as fallbacks."""
    best = load_choices(decide([summary_of({"LUMPY/C": losses_with("LGBM")})]))
    everything = frozenset(Variant) - {Variant.TFT}
    overviews = {"p": overview("p", 30), "new": overview("new", 7)}
    shapes = dict.fromkeys(("p", "new"), DemandShape(ClasseXYZ.Z, PadraoDemanda.LUMPY))
    plain = ProductProfile("p", ClasseABC.C)

    def plan(profile: ProductProfile, **options: Any) -> tuple[tuple[Variant, ...], str]:
        (found,) = plan_products([profile], overviews, shapes, as_of=AS_OF, available=everything, **options)
        return found.models, found.reason

    table = (Variant.SIMPLE_ETS, Variant.NAIVE)
    reason = "backtest: LGBM instead of SIMPLE_ETS (fewer than 40 weeks)"
    assert plan(plain, choices=best) == ((Variant.LGBM, *table), reason)
    assert plan(plain, choices=best, automatic=False) == (table, "fewer than 40 weeks")
    assert plan(replace(plain, product_id="new"), choices=best)[0] == table
    suggested = replace(plain, modelo_sugerido="TSB")
    assert plan(suggested, choices=best)[0][0] is Variant.TSB
    assert plan(plain, choices=best, modelo=ModeloForecast.CROSTON)[0][0] is Variant.CROSTON


def test_a_model_is_not_measured_on_weeks_that_it_knows() -> None:
    """That would be no measurement; a forecast after them is what it is for."""
    knows_all = load_trained({"volume": artefact()})
    for task in ("train", "backtest"):
        with pytest.raises(ValueError, match="LGBM knows sales until 2026-11-23, 2026-08-24 is the last it may"):
            chunk(NAMES[:2], knows_all, task)
    assert chunk(NAMES[:2], knows_all, "predict").forecasts[0].variant is Variant.LGBM


def test_chunks_forecast_with_the_global_model_whatever_else_is_in_them() -> None:
    """Bands are calibrated, and a product's numbers are its own."""
    trained = replace(load_trained({"volume": artefact()}), choices=choices())
    whole = {one.product_id: one for one in chunk(NAMES[:30], trained, "predict").forecasts}
    raw = {one.product_id: one for one in chunk(NAMES[:30], replace(trained, choices=None), "predict").forecasts}
    for name in NAMES[:30:7]:
        (alone,) = chunk((name,), trained, "predict").forecasts
        assert alone.volume.tobytes() == whole[name].volume.tobytes()
        np.testing.assert_array_equal(alone.volume[:, 2], raw[name].volume[:, 2])
    assert any((whole[name].volume != raw[name].volume).any() for name in whole)


def test_the_ensemble_is_the_weighted_mean_of_its_parts() -> None:
    """Quantile by quantile; what a regular product's table says is averaged with LGBM."""
    trained, name = load_trained({"volume": artefact()}), NAMES[6]

    def volume(variant: Variant) -> np.ndarray:
        plan = [planned(name, (variant,))]
        (found,) = compute_chunk(request({name: rows(world()[name])}, plan), trained).forecasts
        assert found.variant is variant
        return found.volume

    expected = 0.7 * volume(Variant.LGBM) + 0.3 * volume(Variant.AUTO_ETS)
    expected[:, 2] = np.floor(expected[:, 2] + 0.5)
    expected[:, :2] = np.minimum(expected[:, :2], expected[:, 2:3])
    expected[:, 3:] = np.maximum(expected[:, 3:], expected[:, 2:3])
    np.testing.assert_allclose(volume(Variant.ENSEMBLE), expected, atol=2e-4)


def test_without_training_a_global_model_falls_back_and_says_so() -> None:
    """A lost model costs its products their first choice, not their forecast."""
    result = chunk(NAMES[:3], NOTHING, "predict")
    assert {one.variant for one in result.forecasts} == {Variant.SIMPLE_ETS}
    assert merge([result.summary])["fallbacks"] == {"LGBM failed (not trained)": 3}
    assert Variant.LGBM not in available(NOTHING)
    assert {Variant.LGBM, Variant.ENSEMBLE} <= available(CUT)


def test_direct_revenue_is_given_beside_volume_times_price_and_their_contradiction_is_counted() -> None:
    """The recorded price is 2; a list price of 5 cannot be what is being paid."""
    trained = load_trained({"volume": artefact(), "revenue": artefact(TargetType.FATURAMENTO)})
    histories = {name: rows(world()[name]) for name in ("product-000", "product-002")}
    plan = [planned("product-000", (Variant.LGBM,)), planned("product-002", (Variant.LGBM,), price=5.0)]
    result = compute_chunk(request(histories, plan), trained)
    for one in result.forecasts:
        assert one.direct_revenue is not None
        assert one.direct_revenue.shape == (13, 5)
    assert merge([result.summary])["divergent_revenue"] == {
        "count": 1,
        "threshold": 0.3,
        "products": ["product-002"],
    }


def test_artefacts_of_the_wrong_target_are_refused() -> None:
    """A model of money must not forecast units."""
    with pytest.raises(UnusableArtefactError, match="forecasts FATURAMENTO, it must be VOLUME"):
        load_trained({"volume": artefact(TargetType.FATURAMENTO)})


def test_a_product_that_is_new_in_the_weeks_held_out_is_no_evidence() -> None:
    """It is left out, and the others are not disturbed."""
    histories = {"new": rows([3, 4, 5]), NAMES[0]: rows(world()[NAMES[0]])}
    plan = [planned(name, (Variant.LGBM, Variant.NAIVE)) for name in histories]
    result = compute_chunk(request(histories, plan, task="train"), CUT)
    evidence = result.summary["evidence"]
    assert isinstance(evidence, dict)
    assert [losses[0] for losses in evidence["losses"].values()] == [1]
    assert AS_OF - timedelta(weeks=13) == CUT.volume.known_until if CUT.volume else False
