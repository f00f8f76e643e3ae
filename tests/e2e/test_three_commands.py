from __future__ import annotations

import datetime as dt
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.commands import binary, plain, produce, structured
from tests.e2e.new_topics import create_visible
from tests.e2e.rows import rows, scalar
from tests.support.evidence import collect
from tests.support.invariants import violations
from tests.support.journal import Follower, Journal

if TYPE_CHECKING:
    from tests.e2e.conftest import MakeService
    from tests.e2e.sales import Catalogue
    from tests.support.topics import Topics

pytestmark = [pytest.mark.broker, pytest.mark.full_broker]

STEPS = [
    "load_data",
    "segment_skus",
    "execute_tft",
    "execute_ets",
    "execute_croston_tsb",
    "execute_lgbm_ensemble",
    "calculate_revenue",
    "calculate_metrics",
    "save_results",
    "finalize",
]
HORIZON, PRODUCTS = 6, 40
TRAIN, BACKTEST, PREDICT = (str(uuid.uuid4()) for _ in range(3))
RESULTS = """
    SELECT produto_id, target_type::text, periodo, horizonte_semanas, modelo_usado::text, p10, p25, p50, p75, p90
      FROM forecast_resultado WHERE execucao_id = $1 ORDER BY produto_id, target_type, periodo"""


async def test_train_backtest_and_predict_run_to_their_end(
    topics: Topics, sales_url: str, catalogue: Catalogue, make_service: MakeService
) -> None:
    """A plain, a structured and a camelCase command each run their ten steps, write their rows and tell of it."""
    reply_topic = topics.name("planning.reply")
    await create_visible(topics, reply_topic)
    service = make_service(sales_url, chunk_products=10)
    service.start()
    wanted = catalogue.ids(PRODUCTS)
    nest = (("kafka_replyTopic", reply_topic), ("kafka_correlationId", "q-1"), ("kafka_replyPartition", "3"))
    sent = await produce(
        topics,
        [
            plain("train", {"execucao_id": TRAIN, "produto_ids": wanted}),
            structured("backtest", {"execucao_id": BACKTEST, "produto_ids": wanted, "holdout_weeks": 8}),
            binary(
                "predict",
                {"execucaoId": PREDICT, "produtoIds": wanted, "horizonteSemanas": HORIZON},
                *nest,
                ("ce_correlationid", "screen 7"),
                event_id="predict-1",
            ),
        ],
    )
    async with Follower(topics.bootstrap_servers, [*topics.all[4:], reply_topic]) as follower:
        await service.ready()
        await service.meanwhile(follower.until(lambda journal: len(journal.ended) == 3, "three ended executions"))
        assert await service.stop() == 0
        journal = await follower.to_the_end()
    for execucao_id in (TRAIN, BACKTEST, PREDICT):
        check_statuses(journal.of_execution(topics.status, execucao_id))
        check_steps(journal.of_execution(topics.step_log, execucao_id))
    check_correlation(journal, topics)
    check_nest_replies(journal, topics, reply_topic)
    await check_forecasts(sales_url, catalogue)
    await check_measured(sales_url)
    assert violations(await collect(sales_url, topics, sent, journal)) == []


def check_statuses(statuses: list[dict[str, Any]]) -> None:
    names = [status["status"] for status in statuses]
    assert names[:2] == ["PENDENTE", "EXECUTANDO"]
    assert set(names[1:-1]) == {"EXECUTANDO"}
    assert names[-1] == "CONCLUIDO", statuses[-1]
    assert statuses[-1]["progress"]["percent"] == 100
    assert statuses[-1]["resultado_resumo"]["products"] == PRODUCTS


def check_steps(steps: list[dict[str, Any]]) -> None:
    ended = [step for step in steps if step["status"] != "RUNNING"]
    assert [step["step_name"] for step in ended] == STEPS
    assert {step["status"] for step in ended} <= {"COMPLETED", "SKIPPED"}
    assert all(step["details"]["reason"] for step in ended if step["status"] == "SKIPPED")
    begun = list(dict.fromkeys(step["step_name"] for step in steps if step["status"] == "RUNNING"))
    assert begun == [name for name in STEPS if name in set(begun)]


def check_correlation(journal: Journal, topics: Topics) -> None:
    answers = [
        message
        for topic in (topics.status, topics.step_log)
        for message in journal.on(topic)
        if message.data["execucao_id"] == PREDICT
    ]
    assert {message.attributes["ce_correlationid"] for message in answers} == {"screen 7"}
    assert {message.attributes["ce_causationid"] for message in answers} == {"predict-1"}


def check_nest_replies(journal: Journal, topics: Topics, reply_topic: str) -> None:
    replies = journal.on(reply_topic)
    assert [message.data for message in replies] == journal.of_execution(topics.status, PREDICT)
    assert {message.partition for message in replies} == {3}
    assert {message.attributes["kafka_correlationId"] for message in replies} == {"q-1"}
    disposed = [dict(message.headers).get("kafka_nest-is-disposed") for message in replies]
    assert disposed == [None] * (len(replies) - 1) + [b"\x00"]


async def check_forecasts(url: str, catalogue: Catalogue) -> None:
    results = await rows(url, RESULTS, PREDICT)
    first = catalogue.newest_week + dt.timedelta(weeks=1)
    mondays = [first + dt.timedelta(weeks=week) for week in range(HORIZON)]
    expected = [
        (product, target, monday)
        for product in catalogue.ids(PRODUCTS)
        for target in ("FATURAMENTO", "VOLUME")
        for monday in mondays
    ]
    assert [row[:3] for row in results] == expected
    assert {monday.weekday() for monday in mondays} == {0}
    for row in results:
        quantiles = row[5:]
        assert row[3] == HORIZON
        assert 0 <= quantiles[0] <= quantiles[1] <= quantiles[2] <= quantiles[3] <= quantiles[4], row
    assert {row[4] for row in results} == {"ETS", "CROSTON"}
    assert await scalar(url, "SELECT count(*) FROM forecast_resultado WHERE execucao_id <> $1", PREDICT) == 0


async def check_measured(url: str) -> None:
    measured = await rows(
        url,
        "SELECT execucao_id, produto_id, count(*), bool_or(modelo = 'MOVING_AVERAGE_12') FROM forecast_metrica"
        " GROUP BY 1, 2",
    )
    assert len(measured) == 2 * PRODUCTS
    assert {(count, baseline) for *_, count, baseline in measured} == {(2, True)}
    models = await rows(url, "SELECT execucao_id, tipo_modelo, versao, is_champion FROM forecast_modelo ORDER BY 2")
    assert models == [(TRAIN, "CROSTON", 1, True), (TRAIN, "ETS", 1, True)]
