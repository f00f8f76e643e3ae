from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING
from unittest.mock import MagicMock

import numpy as np
import pytest

from consumer.db.models import ForecastModelo
from consumer.db.repositories.forecast_repo import ForecastRepository
from consumer.db.repositories.metric_rows import metric_id
from consumer.db.repositories.records import ForecastRow, MetricsWritten, NewModel
from consumer.forecasting.types import ProductForecast, ProductMetric, Variant
from schemas.enums import ClasseABC, ModeloForecast, TargetType
from tests.support.copy_rows import RESULT_READERS, rows_of
from tests.unit.db.sessions import driver_of, session_answering, sql_of

if TYPE_CHECKING:
    from unittest.mock import AsyncMock

MONDAY = date(2026, 1, 5)


def forecast(product: str) -> ProductForecast:
    return ProductForecast(product, Variant.SBA, MONDAY, np.ones((2, 5)), None)


def model(model_id: str = "m1", *, champion: bool = False) -> ForecastModelo:
    return ForecastModelo(
        id=model_id,
        execucao_id="run",
        tipo_modelo="ETS",
        versao=3,
        is_champion=champion,
        created_at=datetime(2026, 1, 5, tzinfo=UTC),
    )


def order_of_calls(session: AsyncMock, driver: AsyncMock) -> list[str]:
    both = MagicMock()
    both.attach_mock(session.execute, "execute")
    both.attach_mock(driver.copy_to_table, "copy")
    return both


async def test_results_are_deleted_then_copied() -> None:
    """The old rows of exactly these products go before the new ones come, in the session's transaction."""
    session = session_answering()
    driver = driver_of(session)
    driver.copy_to_table.return_value = "COPY 4"
    calls = order_of_calls(session, driver)
    assert await ForecastRepository(session).replace_results("run", 2, [forecast("a"), forecast("b")]) == 4
    assert [name for name, *_ in calls.mock_calls] == ["execute", "copy"]
    assert session.execute.await_args.args[1] == {"execucao_id": "run", "products": ["a", "b"]}
    assert driver.copy_to_table.await_args.args == ("forecast_resultado",)
    written = rows_of(driver.copy_to_table.await_args.kwargs["source"].getvalue(), RESULT_READERS)
    assert [row[2] for row in written] == ["a", "a", "b", "b"]


async def test_bad_forecast_leaves_the_old_rows_alone() -> None:
    """A forecast that cannot be stored is refused before anything is deleted."""
    session = session_answering()
    with pytest.raises(ValueError, match="product a"):
        await ForecastRepository(session).replace_results("run", 13, [forecast("a")])
    session.execute.assert_not_awaited()


async def test_copy_first_opens_the_transaction() -> None:
    """On a connection that is not yet in a transaction, a statement of SQLAlchemy comes before COPY."""
    session = session_answering()
    driver = driver_of(session, in_transaction=False)
    driver.copy_to_table.return_value = "COPY 2"
    await ForecastRepository(session).replace_results("run", 2, [forecast("a")])
    assert [str(call.args[0]) for call in session.execute.await_args_list][-1] == "SELECT 1"


async def test_closed_connection_is_told() -> None:
    """A session whose connection is gone fails with what to do."""
    session = session_answering()
    driver_of(session)
    session.connection.return_value.get_raw_connection.return_value.driver_connection = None
    with pytest.raises(RuntimeError, match="begin a new session"):
        await ForecastRepository(session).replace_results("run", 2, [forecast("a")])


async def test_metrics_of_every_variant_are_deleted_by_id() -> None:
    """Whatever models an earlier attempt measured on a product, their rows go, found by primary key."""
    session = session_answering()
    driver = driver_of(session)
    driver.copy_to_table.return_value = "COPY 1"
    metric = ProductMetric("a", Variant.NAIVE, ClasseABC.C, None, float("nan"), 1.0, 1e4)
    assert await ForecastRepository(session).replace_metrics("run", [metric]) == MetricsWritten(rows=1, nulled=2)
    assert session.execute.await_args.args[1] == {"ids": [metric_id("run", "a", variant) for variant in Variant]}


async def test_results_are_read_as_rows() -> None:
    """Rows come in the fields' order, of all products or of those asked for."""
    row = ("a", MONDAY, TargetType.VOLUME, ModeloForecast.ETS, 13, 1.0, 2.0, 3.0, 4.0, 5.0)
    session = session_answering(rows=[row])
    assert await ForecastRepository(session).results("run") == [ForecastRow(*row)]
    await ForecastRepository(session).results("run", ["a"])
    plain, filtered = (sql_of(call) for call in session.execute.await_args_list)
    assert "ANY" not in plain
    assert "produto_id = ANY (ARRAY['a'])" in filtered


async def test_count_is_a_number() -> None:
    """The count of an execution's rows is the query's value."""
    assert await ForecastRepository(session_answering(scalar=26)).count_results("run") == 26


async def test_model_gets_the_next_version_under_the_lock() -> None:
    """The type's lock is taken before its highest version is read."""
    session = session_answering(scalar=4)
    session.add.side_effect = lambda row: setattr(row, "created_at", datetime(2026, 1, 5, tzinfo=UTC))
    calls = MagicMock()
    for name in ("execute", "scalar", "flush"):
        calls.attach_mock(getattr(session, name), name)
    added = await ForecastRepository(session).add_model(NewModel("run", "ETS", {"a": 1}, None, "path"))
    assert [name for name, *_ in calls.mock_calls] == ["execute", "scalar", "flush"]
    assert "pg_advisory_xact_lock" in str(session.execute.await_args.args[0])
    assert (added.versao, added.parametros, added.metricas_treino, added.is_champion) == (4, {"a": 1}, None, False)


async def test_promotion_names_the_former_champion() -> None:
    """The champion before is told, unless it is the same model."""
    former = model("old", champion=True)
    session = session_answering(get=model("new"), scalars=[former])
    assert await ForecastRepository(session).promote("new") == "old"
    assert await ForecastRepository(session_answering(get=former, scalars=[former])).promote("old") is None
    assert await ForecastRepository(session_answering(get=former)).promote("old") is None
    change = sql_of(session.execute.await_args)
    assert "SET is_champion=(forecast_modelo.id = 'new')" in change
    assert "forecast_modelo.tipo_modelo = 'ETS'" in change


async def test_unknown_model_is_not_promoted() -> None:
    """A model that does not exist changes nothing."""
    session = session_answering()
    with pytest.raises(LookupError, match="m1"):
        await ForecastRepository(session).promote("m1")
    session.execute.assert_not_awaited()


async def test_list_filters_are_only_those_given() -> None:
    """Each filter is a condition when given and none when not."""
    session = session_answering(scalars=[model()])
    repository = ForecastRepository(session)
    assert [record.id for record in await repository.list_models()] == ["m1"]
    await repository.list_models(tipo_modelo="ETS", execucao_id="run", champions_only=True, limit=7)
    plain, filtered = (sql_of(call) for call in session.scalars.await_args_list)
    assert "WHERE" not in plain
    assert "LIMIT 7" in filtered
    for condition in ("tipo_modelo = 'ETS'", "execucao_id = 'run'", "AND forecast_modelo.is_champion"):
        assert condition in filtered


async def test_no_champion_is_none() -> None:
    """A type without a champion has none."""
    assert await ForecastRepository(session_answering()).champion("ETS") is None
