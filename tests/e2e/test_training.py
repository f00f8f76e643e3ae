from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.e2e.commands import binary, produce
from tests.e2e.new_topics import create_visible
from tests.e2e.rows import rows, scalar

if TYPE_CHECKING:
    from tests.e2e.conftest import MakeService
    from tests.e2e.sales import Catalogue
    from tests.e2e.service_process import ServiceProcess
    from tests.support.topics import Topics

pytestmark = [pytest.mark.broker, pytest.mark.full_broker, pytest.mark.timeout(600)]

PRODUCTS, CHUNK, HORIZON, HOLDOUT = 24, 10, 6, 8
TRAIN, PREDICT, BACKTEST = (str(uuid.uuid4()) for _ in range(3))
# After the rows of every block and the evidence of the first, in the fit of the last model, and in a chunk.
DEATHS: Final = ("after_checkpoint:4", "in_fit:1", "in_chunk:2")
METRICS = """
    SELECT id, execucao_id, produto_id, modelo, mape, mae, rmse, bias, classe_abc FROM forecast_metrica ORDER BY id"""
MODELS = """
    SELECT id, tipo_modelo, versao, parametros, metricas_treino, arquivo_path, is_champion FROM forecast_modelo
     ORDER BY tipo_modelo"""
RESULTS = "SELECT * FROM forecast_resultado ORDER BY id"
RESUMO = "SELECT status::text, resultado_resumo FROM execucao_planejamento WHERE id = $1"
STEPS = """
    SELECT step_name, status, details FROM execucao_step_log WHERE execucao_id = $1 ORDER BY step_order"""
ENDED = "SELECT count(*) FROM execucao_planejamento WHERE id = ANY($1) AND completed_at IS NOT NULL"
ATTEMPTS = "SELECT attempt FROM forecast_consumer.command WHERE execucao_id = $1"


async def test_killed_train_gives_the_same_models_and_forecasts_as_an_undisturbed_one(
    topics: Topics,
    sales_url: str,
    second_sales_url: str,
    catalogue: Catalogue,
    make_service: MakeService,
    tmp_path: Path,
) -> None:
    """SIGKILL in every phase of a train, two model processes: rows and files as of one process that lived on."""
    await create_visible(topics)
    trained = catalogue.ids(PRODUCTS)
    await produce(topics, [binary("train", {"execucao_id": TRAIN, "produto_ids": trained})])
    disturbed = Side(make_service, sales_url, tmp_path / "disturbed", compute_processes=2)
    calm = Side(make_service, second_sales_url, tmp_path / "calm", compute_processes=1, group_id=topics.name("calm"))
    await disturbed.die_again_and_again()
    services = [side.start() for side in (disturbed, calm)]
    await asyncio.gather(*(side.ended(TRAIN) for side in (disturbed, calm)))
    assert await scalar(sales_url, ATTEMPTS, TRAIN) > len(DEATHS)

    later = {"produto_ids": trained}
    await produce(topics, [binary("backtest", {**later, "execucao_id": BACKTEST, "holdout_weeks": HOLDOUT})])
    await produce(topics, [binary("predict", {**later, "execucao_id": PREDICT, "horizonte_semanas": HORIZON})])
    await asyncio.gather(*(side.ended(PREDICT, BACKTEST) for side in (disturbed, calm)))
    for service in services:
        assert await service.stop() == 0

    assert disturbed.files() == calm.files()
    for question in (METRICS, MODELS, RESULTS):
        assert await rows(sales_url, question) == await rows(second_sales_url, question)
    for execucao_id in (TRAIN, PREDICT, BACKTEST):
        assert await rows(sales_url, RESUMO, execucao_id) == await rows(second_sales_url, RESUMO, execucao_id)
    await check_what_was_left(sales_url, disturbed)


async def test_a_directory_that_nobody_can_write_to_is_told_at_the_start(
    topics: Topics, sales_url: str, catalogue: Catalogue, make_service: MakeService, tmp_path: Path
) -> None:
    """The log names directory and setting before the first train fails of it; a predict does not care."""
    (tmp_path / "file").write_bytes(b"")
    await create_visible(topics)
    service = make_service(sales_url, artefact_dir=tmp_path / "file" / "artefacts")
    service.start()
    told = await service.logged("artefacts_not_writable")
    assert str(tmp_path / "file" / "artefacts") in told["error"]
    assert "FORECAST_ARTEFACT_DIR" in told["hint"]
    await produce(topics, [binary("predict", {"execucao_id": PREDICT, "produto_ids": catalogue.ids(3)})])
    await service.logged("execution_finished")
    assert (await rows(sales_url, RESUMO, PREDICT))[0][0] == "CONCLUIDO"


class Side:
    """One of two services on the same commands, with a database and a directory of its own."""

    def __init__(self, make_service: MakeService, url: str, artefacts: Path, **settings: Any) -> None:
        self._make = make_service
        self._url = url
        self._artefacts = artefacts
        self._settings = {
            "artefact_dir": artefacts,
            "chunk_products": CHUNK,
            "global_products": PRODUCTS,
            "lease_seconds": 4,
            "max_attempts": len(DEATHS) + 5,
            "session_timeout_seconds": 6,
            **settings,
        }

    def start(self, **settings: Any) -> ServiceProcess:
        service = self._make(self._url, **{**self._settings, **settings})
        service.start()
        return service

    async def die_again_and_again(self) -> None:
        """Take the command in, then let one process after the other work on it until it is killed."""
        intake = self.start(roles="intake")
        await intake.ready()
        await self._until("SELECT count(*) FROM forecast_consumer.command", (), 1)
        assert await intake.stop() == 0
        for death in DEATHS:
            service = self.start(roles="worker,relay", failpoint=death, instance=death)
            assert await service.exit_code(120) == -9, service.log[-3000:]

    async def ended(self, *execution_ids: str) -> None:
        await self._until(ENDED, (list(execution_ids),), len(execution_ids))

    def files(self) -> dict[str, bytes]:
        """Every stored file of a model: its path and its bytes. Checkpoints go after the end was told."""
        paths = (path for path in sorted((self._artefacts / "models").rglob("*")) if path.is_file())
        return {str(path.relative_to(self._artefacts)): path.read_bytes() for path in paths}

    async def _until(self, sql: str, arguments: tuple[object, ...], count: int) -> None:
        async with asyncio.timeout(300):
            while await scalar(self._url, sql, *arguments) != count:  # noqa: ASYNC110  another process does it
                await asyncio.sleep(0.2)


async def check_what_was_left(url: str, side: Side) -> None:
    """Champions with files and an audit trail, forecasts by what was trained, no checkpoint."""
    files = side.files()
    assert {Path(name).name for name in files} == {"choices.json", "cut-volume.json", "revenue.json", "volume.json"}
    assert {Path(name).parts[:2] for name in files} == {("models", TRAIN)}
    models = {row[1]: row for row in await rows(url, MODELS)}
    assert set(models) == {"CROSTON", "ENSEMBLE", "ETS", "LGBM"}
    assert {row[2] for row in models.values()} == {1}
    assert models["LGBM"][5] == f"models/{TRAIN}/LGBM"
    statuses = {execution: await rows(url, RESUMO, execution) for execution in (TRAIN, PREDICT, BACKTEST)}
    assert {status for found in statuses.values() for status, _ in found} == {"CONCLUIDO"}
    for execution in (TRAIN, PREDICT, BACKTEST):
        steps = await rows(url, STEPS, execution)
        assert len(steps) == 10
        assert {status for _, status, _ in steps} <= {"COMPLETED", "SKIPPED"}
    direct = "SELECT count(faturamento_p50) FROM forecast_resultado WHERE target_type = $1"
    assert await scalar(url, direct, "VOLUME") == PRODUCTS * HORIZON
    assert await scalar(url, direct, "FATURAMENTO") == 0
