"""Intake that commits too early, and intake without a memory."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

from consumer.db.inbox import SqlInboxTransaction
from consumer.kafka import reader


def commit_automatically() -> None:
    """The client's default, at a pace that a short run can see."""
    original = reader.AIOKafkaConsumer

    def with_timer(*topics: str, **arguments: Any) -> Any:
        return original(*topics, **{**arguments, "enable_auto_commit": True, "auto_commit_interval_ms": 200})

    reader.AIOKafkaConsumer = with_timer


def remove_identity() -> None:
    """Nobody asks whether a command was there before: delivered again, it is one more command."""
    facts, accept = SqlInboxTransaction.facts, SqlInboxTransaction.accept

    async def forgetful(self: Any, received: Any) -> Any:
        found = await facts(self, received)
        self.known = found.known
        mine = {item.execucao_id for item in received if item.identity in found.known}
        statuses = {name: status for name, status in found.executions.items() if name not in mine}
        return replace(found, known={}, attached=found.attached - mine, executions=statuses)

    async def accept_again(self: Any, received: Any) -> Any:
        await accept(self, [_as_new(item) if item.identity in self.known else item for item in received])
        return []

    SqlInboxTransaction.facts = forgetful  # type: ignore[method-assign]
    SqlInboxTransaction.accept = accept_again  # type: ignore[method-assign]


def _as_new(item: Any) -> Any:
    name = str(uuid.uuid4())
    return replace(item, identity=item.identity._replace(event_id=name), execucao_id=name, names_execution=False)
