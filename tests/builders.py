"""Values of the core, each in one call with what a test does not care about filled in."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from consumer.forecasting.types import (
    PlannedChunk,
    PlannedProduct,
    ProductForecast,
    ProductMetric,
    Variant,
)
from consumer.model import Execution, ExecutionId, Lease
from consumer.outbound import Cause, Composer, OutboxMessage, Topics
from consumer.ports.queue import Claim
from consumer.received import Received, receive
from schemas.commands import parse_command
from schemas.enums import ClasseABC, ClasseXYZ, CommandKind, GatilhoExecucao, PadraoDemanda, TopicKind
from schemas.records import RawRecord, ReplyTo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from schemas.records import RawHeaders

NOW: Final = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
AS_OF: Final = date(2026, 11, 16)
COMMAND_TOPICS: Final = {f"forecast.{kind}": kind for kind in TopicKind}
OWN_TOPICS: Final = ("forecast.status", "forecast.step-log", "forecast.dlq")
TOPICS: Final = Topics(*OWN_TOPICS, re.compile(r".*\.reply$"), frozenset({*OWN_TOPICS, *COMMAND_TOPICS}))
COMPOSER: Final = Composer(TOPICS)


def at(seconds: float) -> datetime:
    """A moment of the test's day."""
    return NOW + timedelta(seconds=seconds)


def uuid(number: int) -> ExecutionId:
    """The UUID of a small number."""
    return ExecutionId(f"00000000-0000-4000-8000-{number:012d}")


def record(
    kind: str = "predict",
    data: object = None,
    *,
    event_id: str | None = None,
    offset: int = 0,
    headers: Mapping[str, str] | None = None,
    value: bytes | None = b"",
    partition: int = 0,
) -> RawRecord:
    """A record of a command topic: CloudEvents in binary mode with ``event_id``, else plain JSON; or any ``value``."""
    named = {"ce_specversion": "1.0", "ce_source": "/tests", "ce_id": event_id} if event_id is not None else {}
    pairs: RawHeaders = tuple((name, text.encode()) for name, text in {**named, **(headers or {})}.items())
    body = json.dumps(data if data is not None else {}).encode() if value == b"" else value
    return RawRecord(f"forecast.{kind}", partition, offset, 1_000 + offset, b"key", body, pairs)


def reply_headers(topic: str = "web.reply", partition: int | None = 3) -> dict[str, str]:
    """What a NestJS client sends with a request."""
    named = {} if partition is None else {"kafka_replyPartition": str(partition)}
    return {"kafka_replyTopic": topic, "kafka_correlationId": "corr-1", **named}


def received(kind: str = "predict", data: object = None, **about: Any) -> Received:
    """A readable command, as ``record`` builds it; unnamed executions get the UUID of 99."""
    item = receive(record(kind, data, **about), TopicKind(kind), lambda: uuid(99))
    assert isinstance(item, Received)
    return item


def execution(execucao_id: str | None = None, comando: CommandKind = CommandKind.PREDICT, **values: Any) -> Execution:
    """An execution as it is before anything happened."""
    return Execution(ExecutionId(execucao_id or uuid(1)), comando, GatilhoExecucao.MANUAL, **values)


def claim(
    comando: CommandKind = CommandKind.PREDICT,
    data: dict[str, Any] | None = None,
    *,
    attempt: int = 1,
    epoch: int = 1,
    expired: bool = False,
    plan: dict[str, Any] | None = None,
    number: int = 1,
) -> Claim:
    """A claim on the execution with the UUID of ``number``."""
    return Claim(
        lease=Lease(uuid(number), epoch),
        comando=comando,
        command=parse_command(comando, data or {}),
        attempt=attempt,
        expired=expired,
        plan=plan,
        origin={"command_id": "/tests x", "topic": "forecast.predict", "partition": 0, "offset": 0},
    )


def cause(reply_topic: str | None = None, partition: int | None = None) -> Cause:
    """A command with every attribute; with a waiting client if a topic is given."""
    reply = None if reply_topic is None else ReplyTo(reply_topic, partition, "corr-1")
    return Cause("cmd-1", "conv-1", f"00-{'a' * 32}-{'b' * 16}-01", "vendor=1", reply)


def message(
    event_id: str = "e:status:1",
    *,
    topic: str = "forecast.status",
    key: bytes | None = b"e",
    value: bytes | None = b"{}",
    headers: RawHeaders = (),
    partition: int | None = None,
) -> OutboxMessage:
    """A message for the outbox."""
    return OutboxMessage(event_id, topic, partition, key, value, headers)


def planned(product_id: str, *, models: tuple[Variant, ...] = (Variant.NAIVE,)) -> PlannedProduct:
    """A planned product of class A, regular."""
    return PlannedProduct(product_id, ClasseABC.A, ClasseXYZ.X, PadraoDemanda.REGULAR, models, "by the test", 2.5)


def planned_chunk(number: int, *product_ids: str, step: int = 4) -> PlannedChunk:
    """A chunk of such products."""
    return PlannedChunk(number, step, tuple(planned(product_id) for product_id in product_ids))


def forecasts(product_ids: Sequence[str], horizon: int = 2, level: float = 10.0) -> tuple[ProductForecast, ...]:
    """A flat forecast of volume and revenue for each product."""
    quantiles = np.full((horizon, 5), level) + np.arange(5.0)
    first = AS_OF + timedelta(weeks=1)
    return tuple(ProductForecast(name, Variant.NAIVE, first, quantiles, quantiles * 2) for name in product_ids)


def metric(product_id: str, mape: float | None = 12.5) -> ProductMetric:
    """Errors of one product."""
    return ProductMetric(product_id, Variant.NAIVE, ClasseABC.A, mape, 1.0, 2.0, 0.5)
