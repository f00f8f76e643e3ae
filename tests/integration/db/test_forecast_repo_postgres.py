from __future__ import annotations

import asyncio
import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import asyncpg
import numpy as np
import pytest
import pytest_asyncio

from consumer.db.champions import read_champion
from consumer.db.repositories.forecast_repo import ForecastRepository
from consumer.db.repositories.records import MetricsWritten, ModelRecord, NewModel
from consumer.forecasting.types import ProductForecast, ProductMetric, Variant
from schemas.enums import ClasseABC, ModeloForecast, TargetType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consumer.db.database import Database
    from tests.integration.db.seed import Seed

MONDAY = date(2026, 1, 5)
QUANTILES = np.array([[1.0, 2.0, 3.0, 4.0, 5.0], [1.5, 2.5, 3.5, 4.5, 5.5]])
ALL_RESULTS = "SELECT * FROM forecast_resultado ORDER BY id"


def forecast(product: str, scale: float = 1, *, price: float | None = 10) -> ProductForecast:
    revenue = None if price is None else QUANTILES * scale * price
    return ProductForecast(product, Variant.TSB, MONDAY, QUANTILES * scale, revenue)


def metric(product: str, variant: Variant = Variant.AUTO_ETS, **errors: float | None) -> ProductMetric:
    values = {"mape": 1.0, "mae": 2.0, "rmse": 3.0, "bias": -4.0} | errors
    return ProductMetric(product, variant, ClasseABC.B, **values)


@pytest_asyncio.fixture(autouse=True)
async def rows_that_forecasts_refer_to(seed: Seed) -> None:
    await seed.products("a", "b", "tab\t\\ and\nline")
    await seed.execution("run")
    await seed.execution("other")


async def replace_results(database: Database, forecasts: Sequence[ProductForecast], run: str = "run") -> int:
    async with database.transaction() as session:
        return await ForecastRepository(session).replace_results(run, 2, forecasts)


async def replace_metrics(database: Database, metrics: Sequence[ProductMetric]) -> MetricsWritten:
    async with database.transaction() as session:
        return await ForecastRepository(session).replace_metrics("run", metrics)


async def add_model(database: Database, tipo: str, run: str = "run") -> ModelRecord:
    async with database.transaction() as session:
        return await ForecastRepository(session).add_model(NewModel(run, tipo))


async def promote(database: Database, model_id: str) -> str | None:
    async with database.transaction() as session:
        return await ForecastRepository(session).promote(model_id)


async def champions(seed: Seed) -> list[tuple[str, int]]:
    return await seed.rows("SELECT tipo_modelo, versao FROM forecast_modelo WHERE is_champion ORDER BY 1, 2")


async def test_both_targets_are_written_week_by_week(database: Database) -> None:
    """A forecast with a price is a row for each target and week, its quantiles in their columns."""
    assert await replace_results(database, [forecast("a")]) == 4
    async with database.session() as session:
        repository = ForecastRepository(session)
        rows = await repository.results("run")
        assert await repository.count_results("run") == 4
        assert await repository.count_results("other") == 0
    assert [(row.target_type, row.periodo) for row in rows] == [
        (TargetType.VOLUME, MONDAY),
        (TargetType.VOLUME, MONDAY + timedelta(weeks=1)),
        (TargetType.FATURAMENTO, MONDAY),
        (TargetType.FATURAMENTO, MONDAY + timedelta(weeks=1)),
    ]
    first = rows[0]
    assert (first.p10, first.p25, first.p50, first.p75, first.p90) == (1, 2, 3, 4, 5)
    assert (first.modelo_usado, first.horizonte_semanas, rows[2].p90) == (ModeloForecast.CROSTON, 2, 50)


async def test_product_without_price_has_no_revenue_rows(database: Database) -> None:
    """Without any price there is a volume forecast and no revenue forecast."""
    assert await replace_results(database, [forecast("a", price=None)]) == 2


async def test_values_are_rounded_to_four_decimals(database: Database, seed: Seed) -> None:
    """Quantiles are stored with the four decimals of their column."""
    await replace_results(database, [forecast("a", 1 / 3, price=None)])
    assert await seed.scalar("SELECT min(p10) FROM forecast_resultado") == Decimal("0.3333")


async def test_writing_again_gives_identical_rows(database: Database, seed: Seed) -> None:
    """A chunk that is computed again leaves exactly the rows it left before, ids included."""
    await replace_results(database, [forecast("a"), forecast("b")])
    before = await seed.rows(ALL_RESULTS)
    await replace_results(database, [forecast("b"), forecast("a")])
    assert await seed.rows(ALL_RESULTS) == before
    assert len(before) == 8


async def test_only_the_products_given_are_replaced(database: Database) -> None:
    """Rows of other products and other executions stay."""
    await replace_results(database, [forecast("a"), forecast("b")])
    await replace_results(database, [forecast("a")], run="other")
    assert await replace_results(database, [forecast("a", 2, price=None)]) == 2
    async with database.session() as session:
        repository = ForecastRepository(session)
        assert [row.p10 for row in await repository.results("run", ["a"])] == [2, 3]
        assert len(await repository.results("run", ["b"])) == 4
        assert len(await repository.results("other")) == 4


async def test_product_given_twice_is_refused(database: Database, seed: Seed) -> None:
    """Demand is never doubled: a second forecast of a product in one call writes nothing at all."""
    with pytest.raises(asyncpg.UniqueViolationError):
        await replace_results(database, [forecast("a"), forecast("a")])
    assert await seed.rows(ALL_RESULTS) == []


async def test_ids_with_special_characters_survive(database: Database) -> None:
    """Tabs, line ends and backslashes of an id are no separators."""
    product = "tab\t\\ and\nline"
    await replace_results(database, [forecast(product)])
    await replace_metrics(database, [metric(product)])
    async with database.session() as session:
        assert {row.produto_id for row in await ForecastRepository(session).results("run")} == {product}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e10, 9_999_999_999.99996])
async def test_value_that_the_table_cannot_hold_is_refused_by_product(
    database: Database, seed: Seed, value: float
) -> None:
    """What is not finite or too large names its product, and nothing of the call is written."""
    bad = forecast("b")
    bad.volume[1, 4] = value
    with pytest.raises(ValueError, match="product b: VOLUME"):
        await replace_results(database, [forecast("a"), bad])
    assert await seed.rows(ALL_RESULTS) == []


async def test_largest_value_that_fits_is_written(database: Database, seed: Seed) -> None:
    """The bound refuses no value that numeric(14,4) can hold."""
    large = ProductForecast("a", Variant.NAIVE, MONDAY, np.full((2, 5), 9_999_999_999.9999), None)
    await replace_results(database, [large])
    assert await seed.scalar("SELECT max(p90) FROM forecast_resultado") == Decimal("9999999999.9999")


async def test_metrics_that_do_not_fit_become_null_and_are_counted(database: Database, seed: Seed) -> None:
    """Only errors that were given and cannot be held are counted; undefined ones are simply NULL."""
    written = await replace_metrics(
        database,
        [
            metric("a", mape=math.nan, mae=1e8, rmse=math.inf, bias=-9999.99996),
            metric("b", mape=None, mae=99_999_999.9999, rmse=1.23456, bias=-9999.9999),
        ],
    )
    assert written == MetricsWritten(rows=2, nulled=4)
    assert await seed.rows("SELECT mape, mae, rmse, bias, classe_abc FROM forecast_metrica ORDER BY produto_id") == [
        (None, None, None, None, "B"),
        (None, Decimal("99999999.9999"), Decimal("1.2346"), Decimal("-9999.9999"), "B"),
    ]


async def test_metrics_of_a_product_are_replaced_whatever_their_model(database: Database, seed: Seed) -> None:
    """A second write takes the place of the first, also of the models it no longer has; other products stay."""
    await replace_metrics(database, [metric("a", Variant.AUTO_ETS), metric("a", Variant.NAIVE), metric("b")])
    await replace_metrics(database, [metric("a", Variant.SBA)])
    found = await seed.rows("SELECT produto_id, modelo FROM forecast_metrica ORDER BY 1")
    assert found == [("a", "SBA"), ("b", "AUTO_ETS")]


async def test_versions_count_up_by_type(database: Database) -> None:
    """Each type of model has its own versions, from 1."""
    added = [await add_model(database, tipo) for tipo in ("ETS", "ETS", "LGBM")]
    assert [(model.tipo_modelo, model.versao, model.is_champion) for model in added] == [
        ("ETS", 1, False),
        ("ETS", 2, False),
        ("LGBM", 1, False),
    ]


async def test_models_added_at_once_get_different_versions(database: Database) -> None:
    """Transactions that add models of one type side by side never share a version."""
    added = await asyncio.gather(*(add_model(database, "ETS") for _ in range(8)))
    assert sorted(model.versao for model in added) == list(range(1, 9))


async def test_champion_is_read_while_a_train_replaces_it(database: Database, seed: Seed) -> None:
    """Looking at the champion waits for nobody: predicts run beside each other and beside a train."""
    await seed.model("m1", "run", "LGBM", 1, champion=True)
    async with database.transaction() as train:
        await ForecastRepository(train).lock_type("LGBM")
        async with database.session() as predict, asyncio.timeout(5):
            found = await read_champion(ForecastRepository(predict), "LGBM")
    assert found is not None
    assert found.versao == 1


async def test_model_is_read_as_it_was_written(database: Database) -> None:
    """Parameters, metrics, path and time come back as given."""
    model = NewModel("run", "LGBM", {"leaves": 31}, {"wape": 12.5}, "models/1.txt", datetime(2026, 1, 5, tzinfo=UTC))
    async with database.transaction() as session:
        added = await ForecastRepository(session).add_model(model)
    async with database.session() as session:
        [found] = await ForecastRepository(session).list_models()
    assert found == added
    assert (found.parametros, found.metricas_treino, found.arquivo_path, found.treinado_em) == (
        {"leaves": 31},
        {"wape": 12.5},
        "models/1.txt",
        datetime(2026, 1, 5, tzinfo=UTC),
    )


async def test_promotion_leaves_one_champion_a_type(database: Database, seed: Seed) -> None:
    """A new champion takes the place of the old one of its type, and says whose."""
    first, second, other = [await add_model(database, tipo) for tipo in ("ETS", "ETS", "LGBM")]
    assert await promote(database, first.id) is None
    assert await promote(database, other.id) is None
    assert await promote(database, second.id) == first.id
    assert await promote(database, second.id) is None
    assert await champions(seed) == [("ETS", 2), ("LGBM", 1)]
    async with database.session() as session:
        champion = await ForecastRepository(session).champion("ETS")
        assert champion is not None
        assert (champion.id, champion.is_champion) == (second.id, True)
        assert await ForecastRepository(session).champion("TFT") is None


async def test_promotions_at_once_leave_one_champion(database: Database, seed: Seed) -> None:
    """Transactions that promote side by side cannot both win."""
    added = [await add_model(database, "ETS") for _ in range(6)]
    await asyncio.gather(*(promote(database, model.id) for model in added))
    assert len(await champions(seed)) == 1


async def test_promotion_and_reading_in_one_transaction_agree(database: Database) -> None:
    """What a transaction reads after it promoted is what it wrote."""
    async with database.transaction() as session:
        repository = ForecastRepository(session)
        model = await repository.add_model(NewModel("run", "ETS"))
        await repository.promote(model.id)
        champion = await repository.champion("ETS")
    assert champion is not None
    assert champion.is_champion


async def test_unknown_model_cannot_be_promoted(database: Database) -> None:
    """Promoting what does not exist says so."""
    with pytest.raises(LookupError, match="model nothing does not exist"):
        await promote(database, "nothing")


async def test_models_are_listed_newest_version_first(database: Database) -> None:
    """Lists are by type, newest version first, filtered by type, execution, championship and number."""
    ets1 = await add_model(database, "ETS")
    ets2 = await add_model(database, "ETS", run="other")
    lgbm = await add_model(database, "LGBM")
    await promote(database, ets1.id)
    async with database.session() as session:
        repository = ForecastRepository(session)
        assert [model.id for model in await repository.list_models()] == [ets2.id, ets1.id, lgbm.id]
        assert [model.id for model in await repository.list_models(tipo_modelo="ETS", limit=1)] == [ets2.id]
        assert [model.id for model in await repository.list_models(execucao_id="other")] == [ets2.id]
        assert [model.id for model in await repository.list_models(champions_only=True)] == [ets1.id]
