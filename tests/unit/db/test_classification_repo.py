from __future__ import annotations

from consumer.db.repositories.classification_repo import ClassificationRepository
from consumer.forecasting.types import ProductProfile
from schemas.enums import ClasseABC, ClasseXYZ, PadraoDemanda
from tests.unit.db.sessions import session_answering, sql_of

ROW = ("a", ClasseABC.A, ClasseXYZ.X, PadraoDemanda.REGULAR, "TFT", 9.5)


async def test_profiles_are_keyed_by_product() -> None:
    """Each row is the profile of its product; all ids travel as one array."""
    session = session_answering(rows=[ROW])
    profiles = await ClassificationRepository(session).profiles(["a", "b"])
    assert profiles == {"a": ProductProfile(*ROW)}
    assert "produto.id = ANY (ARRAY['a', 'b'])" in sql_of(session.execute.await_args)


async def test_unclassified_products_are_joined_in() -> None:
    """Profiles start from the product, so that one without a classification is still known."""
    session = session_answering()
    await ClassificationRepository(session).profiles(["a"])
    assert "FROM produto LEFT OUTER JOIN sku_classification" in sql_of(session.execute.await_args)


async def test_suggestion_is_read_by_product() -> None:
    """The suggestion is the one value of the product's classification."""
    session = session_answering(scalar="ETS")
    assert await ClassificationRepository(session).suggestion("a") == "ETS"
    assert "WHERE sku_classification.produto_id = 'a'" in sql_of(session.scalar.await_args)


async def test_list_filters_are_only_those_given() -> None:
    """Without filters a list has no condition on class or pattern; with them it has both, and the limit."""
    session = session_answering(rows=[ROW])
    repository = ClassificationRepository(session)
    assert await repository.list_profiles() == [ProductProfile(*ROW)]
    await repository.list_profiles(classe_abc=ClasseABC.A, padrao_demanda=PadraoDemanda.LUMPY, limit=3)
    plain, filtered = (sql_of(call) for call in session.execute.await_args_list)
    assert "LIMIT" not in plain
    assert "classe_abc =" not in plain
    assert "classe_abc = 'A'" in filtered
    assert "padrao_demanda = 'LUMPY'" in filtered
    assert "LIMIT 3" in filtered
