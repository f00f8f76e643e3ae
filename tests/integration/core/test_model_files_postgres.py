from __future__ import annotations

from typing import TYPE_CHECKING

from consumer.db.model_files import SqlModelFiles
from consumer.db.repositories.forecast_repo import ForecastRepository
from consumer.db.repositories.records import NewModel
from schemas.enums import StatusExecucao
from tests.builders import at, uuid

if TYPE_CHECKING:
    from tests.integration.core.store import Store


async def add(store: Store, tipo: str, path: str | None, *, champion: bool = False) -> None:
    async with store.database.transaction() as session:
        models = ForecastRepository(session)
        added = await models.add_model(NewModel(uuid(1), tipo, arquivo_path=path))
        if champion:
            await models.promote(added.id)


async def test_files_of_the_champion_and_of_the_newest_versions_are_needed(store: Store) -> None:
    """An old champion is kept beside the newest versions of each type; a version without files refers to none."""
    await store.claimed()
    for number in range(5):
        await add(store, "LGBM", f"models/{number}/LGBM", champion=number == 1)
    await add(store, "ETS", None)
    await add(store, "ENSEMBLE", "models/0/LGBM")
    files = SqlModelFiles(store.database)
    assert await files.referred(2) == {f"models/{number}/LGBM" for number in (0, 1, 3, 4)}


async def test_executions_that_may_still_write_are_unfinished(store: Store) -> None:
    """Queued and running ones are, ended and unknown ones are not."""
    ended = await store.claimed(1)
    async with store.queue().fenced(ended.lease) as work:
        work.execution.finish(StatusExecucao.CONCLUIDO, at(1))
    await store.claimed(2)
    await store.command(3)
    await store.cancel(3)
    await store.command(4)
    found = await SqlModelFiles(store.database).unfinished([uuid(number) for number in range(1, 6)])
    assert found == {uuid(2), uuid(4)}
