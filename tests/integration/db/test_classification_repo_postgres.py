from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from consumer.db.repositories.classification_repo import ClassificationRepository
from consumer.forecasting.types import ProductProfile
from schemas.enums import ClasseABC, ClasseXYZ, PadraoDemanda

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from consumer.db.database import Database
    from tests.integration.db.seed import Seed

STEADY = ProductProfile("steady", ClasseABC.A, ClasseXYZ.X, PadraoDemanda.REGULAR, "TFT", 12.5)
LUMPY = ProductProfile("lumpy", ClasseABC.C, ClasseXYZ.Z, PadraoDemanda.LUMPY, None, None)


@pytest_asyncio.fixture
async def repository(database: Database, seed: Seed) -> AsyncIterator[ClassificationRepository]:
    await seed.products("steady", preco_venda=12.5)
    await seed.products("lumpy")
    await seed.products("new", preco_venda=3)
    await seed.classification("steady", "A", "X", "REGULAR", "TFT")
    await seed.classification("lumpy", "C", "Z", "LUMPY")
    async with database.session() as session:
        yield ClassificationRepository(session)


async def test_profiles_tell_unknown_products_from_unclassified_ones(repository: ClassificationRepository) -> None:
    """A classified product has its classes, an unclassified one its price alone, an unknown one is absent."""
    assert await repository.profiles(["steady", "lumpy", "new", "unknown"]) == {
        "steady": STEADY,
        "lumpy": LUMPY,
        "new": ProductProfile("new", preco_venda=3.0),
    }


async def test_any_number_of_products_may_be_asked_for(repository: ClassificationRepository) -> None:
    """The limit of a command, 50,000 ids, is more than PostgreSQL takes parameters."""
    profiles = await repository.profiles([f"unknown {number}" for number in range(50_000)] + ["steady"])
    assert profiles == {"steady": STEADY}


async def test_suggestion_is_the_planners_word(repository: ClassificationRepository) -> None:
    """The stored suggestion, and None without one, without classification or without product."""
    products = ("steady", "lumpy", "new", "unknown")
    assert [await repository.suggestion(product) for product in products] == ["TFT", None, None, None]


async def test_profiles_are_listed_by_class_and_pattern(repository: ClassificationRepository) -> None:
    """Lists hold classified products only, by id, filtered by class, by pattern and by number."""
    assert await repository.list_profiles() == [LUMPY, STEADY]
    assert await repository.list_profiles(limit=1) == [LUMPY]
    assert await repository.list_profiles(classe_abc=ClasseABC.A) == [STEADY]
    assert await repository.list_profiles(padrao_demanda=PadraoDemanda.LUMPY) == [LUMPY]
    assert await repository.list_profiles(classe_abc=ClasseABC.A, padrao_demanda=PadraoDemanda.LUMPY) == []
