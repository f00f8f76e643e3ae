from __future__ import annotations

from consumer.cli.work.execution_report import read_report
from consumer.db.database import Database
from tests.builders import uuid
from tests.integration.core.store import Store


async def test_report_names_the_execution_that_is_repeated(initialised_database_url: str) -> None:
    """What a replay made says which execution it repeats; any other says that it repeats none."""
    async with Database.open(initialised_database_url) as database:
        store = Store(database)
        for number in (1, 2):
            await store.command(number)
        repeat = "UPDATE forecast_consumer.command SET replay_of = :first WHERE execucao_id = :second"
        await store.execute(repeat, first=uuid(1), second=uuid(2))
        async with database.session() as session:
            reports = [await read_report(session, uuid(number)) for number in (1, 2)]
    assert [report.as_json()["command"]["replay_of"] for report in reports if report] == [None, uuid(1)]
