from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from consumer.db.comparison import compare_metrics, compare_results, read_side
from consumer.db.repositories.forecast_repo import ForecastRepository
from consumer.exit_codes import ExitCode
from tests.builders import forecasts, metric, uuid
from tests.integration.test_cli import cli
from tests.unit.cli.invoking import isolated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.integration.core.store import Store

__all__ = ["isolated"]

A, B = uuid(1), uuid(2)


@pytest.fixture
async def pair(store: Store) -> Store:
    """Two executions of the same command over three products."""
    await store.seed.products("p1", "p2", "p3")
    await store.command(1, produto_ids=["p1"])
    await store.command(2, produto_ids=["p1"])
    return store


async def write(store: Store, name: str, products: Sequence[str], level: float = 10.0, mape: float = 12.5) -> None:
    async with store.database.transaction() as session:
        repository = ForecastRepository(session)
        await repository.replace_results(name, 2, forecasts(products, level=level))
        await repository.replace_metrics(name, [metric(product, mape) for product in products])


async def diff(url: str) -> tuple[int, dict[str, Any]]:
    result = await cli("executions", "diff", A, B, "--json", env={"FORECAST_DATABASE_URL": url})
    return result.exit_code, json.loads(result.stdout)


async def test_equal_rows_are_equal(pair: Store, initialised_database_url: str) -> None:
    """Two executions that wrote the same are equal, and the command ends with 0."""
    await write(pair, A, ["p1", "p2"])
    await write(pair, B, ["p1", "p2"])
    code, told = await diff(initialised_database_url)
    assert (code, told["equal"]) == (0, True)
    assert told["forecasts"]["rows_a"] == 8
    assert (told["forecasts"]["differing"], told["forecasts"]["largest"]) == (0, 0.0)


async def test_differing_rows_are_counted(pair: Store) -> None:
    """Values that differ, rows and products that only one has, and the largest difference are told apart."""
    await write(pair, A, ["p1", "p2"])
    await write(pair, B, ["p2", "p3"], level=12.0, mape=13.0)
    async with pair.database.session() as session:
        found = await compare_results(session, A, B)
        errors = await compare_metrics(session, A, B)
    assert (found.differing, found.unpaired, found.only_a, found.only_b) == (4, 8, ["p1"], ["p3"])
    assert found.largest == pytest.approx(4.0)  # revenue is twice the volume
    assert (errors.differing, errors.unpaired, errors.largest) == (1, 2, pytest.approx(0.5))
    assert not found.equal


async def test_different_parameters_end_with_1(pair: Store, initialised_database_url: str) -> None:
    """A difference in what was asked for is a difference; the execution's own id is none."""
    code, told = await diff(initialised_database_url)
    assert code == 0
    await pair.execute(
        "UPDATE forecast_consumer.command SET payload = payload || cast(:changed AS jsonb) WHERE execucao_id = :id",
        changed='{"horizonte_semanas": 4}',
        id=B,
    )
    code, told = await diff(initialised_database_url)
    assert (code, told["equal"]) == (ExitCode.FAILED, False)
    assert [(line["name"], line["a"], line["b"]) for line in told["compared"] if not line["equal"]] == [
        ("horizonte_semanas", 13, 4)
    ]
    people = await cli("executions", "diff", A, B, env={"FORECAST_DATABASE_URL": initialised_database_url})
    assert "the two differ" in people.stderr
    assert "horizonte_semanas" in people.stdout


async def test_unknown_execution_is_code_2(pair: Store, initialised_database_url: str) -> None:
    """What does not exist is neither equal nor different."""
    async with pair.database.session() as session:
        assert await read_side(session, "nope") is None
    result = await cli("executions", "diff", A, "nope", env={"FORECAST_DATABASE_URL": initialised_database_url})
    assert (result.exit_code, result.stdout) == (ExitCode.FAILED, "")
    assert "there is no execution 'nope'" in result.stderr
