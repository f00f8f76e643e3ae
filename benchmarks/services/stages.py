"""The service as it is, with a stopwatch at each stage between the poll and the acknowledgement."""

from __future__ import annotations

import asyncio
import functools
import json
import sys
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from consumer.bootstrap import run_service
from consumer.db.inbox import SqlInboxTransaction
from consumer.db.outbox import SqlOutbox
from consumer.intake import Intake
from consumer.kafka.line import KafkaLine
from consumer.kafka.reader import KafkaReader
from consumer.kafka.receipt import Sent
from consumer.outbox import Relay
from consumer.settings import Settings
from consumer.telemetry.logs import configure

if TYPE_CHECKING:
    from collections.abc import Callable

# In the order of a command's way; `persist` is all of the transaction, with what stands between it and decoding in it.
STAGES = (
    (Intake, "decode", "decode"),
    (SqlInboxTransaction, "facts", "look up what is known"),
    (SqlInboxTransaction, "accept", "insert command, execution, event"),
    (Intake, "persist", "the whole batch, with its commit"),
    (KafkaReader, "commit", "commit the offsets"),
    (Relay, "_pause", "relay waits for work"),
    (SqlOutbox, "pending", "relay reads the outbox"),
    (KafkaLine, "send", "relay sends"),
    (Sent, "wait", "relay waits for the acknowledgement"),
    (SqlOutbox, "delete", "relay deletes"),
)
Times = defaultdict[str, list[float]]


def watch(times: Times) -> None:
    """Put a stopwatch around each stage."""
    for owner, method, name in STAGES:
        setattr(owner, method, _timed(getattr(owner, method), times[name]))


def _timed(method: Callable[..., Any], into: list[float]) -> Callable[..., Any]:
    @functools.wraps(method)
    async def timed(*arguments: Any, **named: Any) -> Any:
        started = time.perf_counter()
        try:
            return await method(*arguments, **named)
        finally:
            into.append(1000 * (time.perf_counter() - started))

    return timed


if __name__ == "__main__":
    times: Times = defaultdict(list)
    watch(times)
    configure("json", "info")
    code = asyncio.run(run_service(Settings()))
    print(json.dumps(times))
    sys.exit(code)
