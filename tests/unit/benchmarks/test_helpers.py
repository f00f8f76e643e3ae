from __future__ import annotations

import os

import psutil
import pytest

from benchmarks.commands import predict
from benchmarks.cpu import server_seconds
from benchmarks.observer import until
from benchmarks.peers import rows
from benchmarks.services.step_log import EVENTS, TRANSACTIONS, log_steps
from consumer.model import Execution
from consumer.received import Received, receive
from schemas.enums import CommandKind, GatilhoExecucao, TopicKind
from schemas.records import RawRecord
from tests.builders import at, uuid


def test_the_command_that_everybody_gets_is_valid() -> None:
    """Rejections would be faster than commands, and nobody would notice."""
    key, value, headers = predict(7)
    item = receive(RawRecord("predict", 0, 0, 0, key, value, tuple(headers)), TopicKind.PREDICT, lambda: uuid(1))
    assert isinstance(item, Received)
    assert item.envelope.warnings == ()


def test_the_rows_of_peers_fill_their_columns() -> None:
    """A peer writes one value a column of both tables."""
    body = {"produto_ids": ["p1"], "horizonte_semanas": 13, "gatilho": "AGENDADO", "priority": 3}
    accepted = rows.accept({"ce_id": "1", "ce_source": "/benchmark"}, body, ("predict", 2, 9))
    assert len(accepted.command) == len(rows._COMMAND_COLUMNS)
    assert len(accepted.execution) == len(rows._EXECUTION_COLUMNS)
    assert dict(zip(rows._COMMAND_COLUMNS, accepted.command, strict=True))["origin_offset"] == 9


def test_the_steps_that_are_waited_for_are_told() -> None:
    """The benchmark of the step log waits for exactly the events that its job leaves behind."""
    execution = Execution(uuid(1), CommandKind.PREDICT, GatilhoExecucao.MANUAL)
    execution.accept(at(0))
    execution.begin(at(0))
    execution.events.clear()
    log_steps(execution, at(1))
    assert len(execution.events) * TRANSACTIONS == EVENTS


async def test_what_does_not_come_true_is_named() -> None:
    """A contestant that hangs ends its round with a reason."""

    async def never() -> bool:
        return False

    with pytest.raises(TimeoutError, match=r"no 5 commands within 0\.05 s"):
        await until(never, "5 commands", 0.05)


def test_a_servers_processor_time_includes_its_children() -> None:
    """At least what the process itself has used counts."""
    own = psutil.Process(os.getpid()).cpu_times()
    assert server_seconds(os.getpid()) >= own.user + own.system
