from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.forecasting.classification import DemandShape
from consumer.forecasting.planning import (
    NO_SALES,
    plan_chunks,
    plan_products,
    products_from_json,
    products_to_json,
    unclassified,
)
from consumer.forecasting.selection import AVAILABLE, select
from consumer.forecasting.types import PlannedProduct, ProductProfile, Variant
from schemas.enums import ClasseABC, ClasseXYZ, ModeloForecast, PadraoDemanda
from tests.unit.forecasting.builders import AS_OF, overview, planned

EVERYTHING = frozenset(Variant)
REGULAR, ERRATICO = PadraoDemanda.REGULAR, PadraoDemanda.ERRATICO
V = Variant


@pytest.mark.parametrize(
    ("pattern", "abc", "models"),
    [
        (REGULAR, ClasseABC.A, (V.TFT, V.LGBM, V.AUTO_ETS, V.NAIVE)),
        (REGULAR, ClasseABC.B, (V.TFT, V.LGBM, V.AUTO_ETS, V.NAIVE)),
        (REGULAR, ClasseABC.C, (V.AUTO_ETS, V.NAIVE)),
        (ERRATICO, ClasseABC.B, (V.TFT, V.AUTO_ETS, V.NAIVE)),
        (ERRATICO, ClasseABC.C, (V.AUTO_ETS, V.NAIVE)),
        (PadraoDemanda.INTERMITENTE, ClasseABC.A, (V.TSB, V.CROSTON, V.SBA)),
        (PadraoDemanda.LUMPY, ClasseABC.C, (V.TSB, V.BOOTSTRAP)),
    ],
)
def test_table(pattern: PadraoDemanda, abc: ClasseABC, models: tuple[Variant, ...]) -> None:
    """Where every model is available the table is followed to the letter, and nothing falls back.

    Behind models that were trained, whose files may be lost by the time they are used, stands one that needs none.
    """
    choice = select(pattern, abc, 40, available=EVERYTHING)
    assert choice.models == models
    assert choice.fallback is None


def test_what_is_not_available_is_skipped_and_said() -> None:
    """Without TFT and LGBM the next model that is there runs, and the reason names those that are not."""
    assert select(ERRATICO, ClasseABC.A, 60).models == (V.AUTO_ETS, V.NAIVE)
    choice = select(REGULAR, ClasseABC.A, 60)
    assert choice.models == (V.AUTO_ETS, V.NAIVE)
    assert choice.fallback == "TFT, LGBM not available"


def test_fewer_than_40_weeks_is_simple() -> None:
    """A product of 39 weeks gets simple ETS whatever its pattern, one of 40 does not."""
    assert select(PadraoDemanda.LUMPY, ClasseABC.A, 39).models == (V.SIMPLE_ETS, V.NAIVE)
    assert select(PadraoDemanda.LUMPY, ClasseABC.A, 40).models[0] is V.TSB


def test_suggestion_stands_above_the_table_and_the_command_above_both() -> None:
    """The product's own model is tried first, unless the command names one."""
    suggested = select(REGULAR, ClasseABC.C, 60, suggested="croston")
    assert suggested.models == (V.CROSTON, V.SBA, V.AUTO_ETS, V.NAIVE)
    assert suggested.reason == "product suggests CROSTON"
    commanded = select(REGULAR, ClasseABC.C, 60, suggested="croston", modelo=ModeloForecast.ETS)
    assert commanded.models == (V.AUTO_ETS, V.NAIVE, V.CROSTON, V.SBA)
    missing = select(REGULAR, ClasseABC.C, 60, suggested="croston", modelo=ModeloForecast.LGBM)
    assert (missing.models[0], missing.fallback) == (V.CROSTON, "LGBM not available")


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("TSB", V.TSB),
        ("Croston/TSB", V.CROSTON),
        ("TSB / croston", V.TSB),
        (" simple ets ", V.SIMPLE_ETS),
        ("Simple-ETS", V.SIMPLE_ETS),
        ("ETS", V.AUTO_ETS),
    ],
)
def test_suggestion_is_read_as_people_write_it(text: str, first: Variant) -> None:
    """Families, variants and several of them are understood in any case."""
    assert select(PadraoDemanda.LUMPY, ClasseABC.A, 60, suggested=text).models[0] is first


def test_unknown_suggestion_is_ignored_and_said() -> None:
    """A suggestion that no model has is no error; the table decides and the reason names it."""
    choice = select(REGULAR, ClasseABC.C, 60, suggested="PROPHET")
    assert choice.models == (V.AUTO_ETS, V.NAIVE)
    assert choice.fallback == "suggested model 'PROPHET' is unknown"


@given(
    st.sampled_from(PadraoDemanda),
    st.sampled_from(ClasseABC),
    st.integers(0, 200),
    st.none() | st.sampled_from(ModeloForecast),
    st.none() | st.text(max_size=60) | st.sampled_from(Variant).map(str),
)
def test_there_is_always_an_available_model(
    pattern: PadraoDemanda, abc: ClasseABC, weeks: int, modelo: ModeloForecast | None, suggested: str | None
) -> None:
    """Every selection names at least one model, each once and each available."""
    models = select(pattern, abc, weeks, suggested=suggested, modelo=modelo).models
    assert models
    assert len(set(models)) == len(models)
    assert set(models) <= AVAILABLE


def test_stored_classes_are_kept_and_missing_ones_computed() -> None:
    """What the backend stored is used; the rest comes from revenue and from the shapes."""
    profiles = [
        ProductProfile("stored", ClasseABC.C, ClasseXYZ.X, REGULAR, preco_venda=3.5),
        ProductProfile("new"),
    ]
    assert unclassified(profiles) == ("new",)
    plan = plan_products(
        profiles,
        {"stored": overview("stored", 60, 10), "new": overview("new", 60, 90)},
        {"new": DemandShape(ClasseXYZ.Y, PadraoDemanda.LUMPY)},
        as_of=AS_OF,
    )
    assert [(item.classe_abc, item.classe_xyz, item.padrao_demanda) for item in plan] == [
        (ClasseABC.C, ClasseXYZ.X, REGULAR),
        (ClasseABC.A, ClasseXYZ.Y, PadraoDemanda.LUMPY),
    ]
    assert plan[0].preco_venda == 3.5


def test_age_decides_the_rule_for_short_histories() -> None:
    """The weeks from the first sale to the newest week of all products, both included, are a product's age."""
    profiles = [ProductProfile(name, ClasseABC.C, ClasseXYZ.X, REGULAR) for name in ("young", "old")]
    plan = plan_products(profiles, {"young": overview("young", 39), "old": overview("old", 40)}, {}, as_of=AS_OF)
    assert [item.models[0] for item in plan] == [V.SIMPLE_ETS, V.AUTO_ETS]


def test_product_without_sales_has_no_models() -> None:
    """A product that was asked for and never sold is planned without models, so that it fails by name."""
    (product,) = plan_products([ProductProfile("p")], {}, {}, as_of=AS_OF)
    assert (product.models, product.reason) == ((), NO_SALES)


def test_chunks_belong_to_the_step_of_their_first_model() -> None:
    """Chunks come in the order of the steps, and within a step by product id."""
    products = [
        planned("t", (V.TSB,)),
        planned("e2", (V.AUTO_ETS,)),
        planned("l", (V.LGBM,)),
        planned("e1", (V.MOVING_AVERAGE_12,)),
        planned("none", ()),
        planned("f", (V.TFT,)),
    ]
    chunks = plan_chunks(products, 2)
    assert [(chunk.number, chunk.step_order) for chunk in chunks] == [(0, 3), (1, 4), (2, 4), (3, 5), (4, 6)]
    assert [[product.product_id for product in chunk.products] for chunk in chunks] == [
        ["f"],
        ["e1", "e2"],
        ["none"],
        ["t"],
        ["l"],
    ]


@pytest.mark.parametrize(
    ("products", "processes", "sizes"),
    [
        (150, 2, [75, 75]),
        (150, 1, [150]),
        (500, 2, [125, 125, 125, 125]),
        (401, 2, [101, 101, 101, 98]),
        (60, 4, [25, 25, 10]),
        (1, 4, [1]),
    ],
)
def test_every_process_has_a_chunk_until_the_end(products: int, processes: int, sizes: list[int]) -> None:
    """Chunks come in full rounds of the processes, unless so few products would not be worth a chunk."""
    many = [planned(f"{number:03d}", (V.TSB,)) for number in range(products)]
    assert [len(chunk.products) for chunk in plan_chunks(many, 200, processes)] == sizes


@given(st.sets(st.text(min_size=1, max_size=4), max_size=30), st.integers(1, 7), st.integers(1, 3), st.randoms())
def test_chunks_hold_every_product_once_in_any_order(ids: set[str], size: int, processes: int, random: object) -> None:
    """Chunks are a partition that depends on the set of products only."""
    products = [planned(name, (V.TSB if len(name) % 2 else V.NAIVE,)) for name in sorted(ids)]
    shuffled = list(products)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    chunks = plan_chunks(shuffled, size, processes)
    assert chunks == plan_chunks(products, size, processes)
    assert sorted(product.product_id for chunk in chunks for product in chunk.products) == sorted(ids)
    assert all(0 < len(chunk.products) <= size for chunk in chunks)


def test_chunk_size_below_one_is_refused() -> None:
    """A chunk size that cannot hold a product is named."""
    with pytest.raises(ValueError, match="chunk_size is 0"):
        plan_chunks([], 0)


@pytest.mark.parametrize("product", [planned(), planned("ú", (), price=2.5, fallback="TFT not available")])
def test_planned_products_survive_json(product: PlannedProduct) -> None:
    """What is stored with the plan is what a resumed execution reads."""
    assert products_from_json(json.loads(json.dumps(products_to_json([product])))) == (product,)


def test_planning_does_not_load_the_model_library() -> None:
    """The main process plans without the seconds that the model library takes to import."""
    code = (
        "import sys, consumer.forecasting.planning, consumer.forecasting.compute, consumer.forecasting.champion;"
        "sys.exit('statsforecast' in sys.modules or 'pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
