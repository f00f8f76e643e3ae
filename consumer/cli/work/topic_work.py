"""``topics``: creating, listing and checking what the settings name."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import typer

from consumer.cli.failure import CommandError
from consumer.cli.work.loading import load_for_tool
from consumer.cli.work.printing import print_json, print_table
from consumer.client.partitions import partitions_of
from consumer.errors import TransientError
from consumer.exit_codes import ExitCode
from consumer.kafka.topics import create_topics, existing_topics, planned_topics

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from consumer.settings import Settings

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic of the contract; ``partitions`` is None while it is missing."""

    topic: str
    partitions: int | None


def create_missing(*, partitions: int, replication: int, as_json: bool) -> None:
    """Create the missing topics and say which.

    Raises:
        CommandError: No broker answers, or it refuses.
    """
    settings = load_for_tool()
    created = _asked(_create(settings, partitions, replication))
    if as_json:
        print_json({"created": created})
        return
    for name in created:
        typer.echo(f"created {name} ({partitions} partitions, replication {replication})")
    if not created:
        typer.echo("all topics exist")


def show_topics(*, as_json: bool) -> None:
    """Print every topic of the contract and its partitions.

    Raises:
        CommandError: No broker answers.
    """
    states = _asked(_states(load_for_tool()))
    if as_json:
        print_json(states)
        return
    print_table(
        ("topic", "partitions"),
        [(state.topic, "missing" if state.partitions is None else state.partitions) for state in states],
    )


def check_topics() -> None:
    """Say that all topics are there.

    Raises:
        CommandError: They are not, or no broker answers.
    """
    settings = load_for_tool()
    states = _asked(_states(settings))
    missing = [state.topic for state in states if state.partitions is None]
    if missing:
        message = (
            f"Kafka at {settings.bootstrap_servers} has no topic {', '.join(missing)}; "
            "run `forecast-consumer topics create`"
        )
        raise CommandError(message, exit_code=ExitCode.BROKER)
    typer.echo(f"all {len(states)} topics exist")


async def _create(settings: Settings, partitions: int, replication: int) -> list[str]:
    created = await create_topics(settings, partitions, replication)
    # The controller has them, the brokers learn of them a moment later: whoever comes next must find them.
    await partitions_of(settings, created)
    return created


async def _states(settings: Settings) -> list[TopicState]:
    there = await existing_topics(settings)
    names = [plan.name for plan in planned_topics(settings, 1)]
    # Only those that exist: asking for others would make them on some brokers.
    found = await partitions_of(settings, [name for name in names if name in there])
    return [TopicState(name, len(found[name]) if name in found else None) for name in names]


def _asked(question: Coroutine[Any, Any, Answer]) -> Answer:
    try:
        return asyncio.run(question)
    except TransientError as error:
        raise CommandError(str(error), exit_code=ExitCode.BROKER) from error
