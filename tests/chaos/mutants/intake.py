"""Intake that commits too early, and intake without a memory."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import partial
from typing import Any

from consumer import intake as intake_module
from consumer.kafka import reader

_numbers = itertools.count()


def commit_automatically() -> None:
    """The client's default, at a pace that a short run can see."""
    original = reader.AIOKafkaConsumer

    def with_timer(*topics: str, **arguments: Any) -> Any:
        return original(*topics, **{**arguments, "enable_auto_commit": True, "auto_commit_interval_ms": 200})

    reader.AIOKafkaConsumer = with_timer


def remove_identity() -> None:
    """Every delivery gets an identity of its own; an execution that was named is named no more."""
    intake_module.receive = partial(_forget, intake_module.receive)


def _forget(receive: Any, raw: Any, topic_kind: Any, new_id: Any) -> Any:
    item = receive(raw, topic_kind, new_id)
    if not isinstance(item, intake_module.Received) or topic_kind.value == "cancel":
        return item
    event_id = f"{item.identity.event_id}#{next(_numbers)}-{new_id()}"
    return replace(
        item, identity=item.identity._replace(event_id=event_id), execucao_id=new_id(), names_execution=False
    )
