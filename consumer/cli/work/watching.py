"""``watch``: every event of the reply topics, or those of some executions."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from consumer.cli.failure import say
from consumer.cli.work.event_lines import event_line
from consumer.cli.work.loading import load_for_tool
from consumer.cli.work.printing import console, print_json
from consumer.cli.work.ranges import wrong
from consumer.client.replies import ReplyReader
from schemas.commands import UUID_PATTERN
from schemas.expectations import EXAMPLE_UUID

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from consumer.client.events import Event
    from consumer.settings import Settings


def watch_from_options(
    *, execucao_ids: AbstractSet[str], from_beginning: bool, limit: int | None, as_json: bool
) -> None:
    """Print events until interrupted, or until there were ``limit`` of them.

    Raises:
        CommandError: An id is none that an execution can have: its events would be waited for in vain.
        consumer.client.errors.ClientError: The broker is away, or a topic is missing.
    """
    for given in execucao_ids:
        if not re.fullmatch(UUID_PATTERN, given):
            raise wrong(f"--execucao-id is {given!r}; it must be a UUID such as {EXAMPLE_UUID}")
    asyncio.run(_watch(load_for_tool(), execucao_ids, from_beginning=from_beginning, limit=limit, as_json=as_json))


async def _watch(
    settings: Settings, execucao_ids: AbstractSet[str], *, from_beginning: bool, limit: int | None, as_json: bool
) -> None:
    shown = 0
    async with ReplyReader(settings, from_beginning=from_beginning, on_unreadable=say) as reader:
        say(f"watching {settings.topic_status} and {settings.topic_step_log}; Ctrl-C ends it")
        while True:
            for event in await reader.read():
                if execucao_ids and event.execucao_id not in execucao_ids:
                    continue
                _show(event, as_json=as_json)
                shown += 1
                if shown == limit:
                    return


def _show(event: Event, *, as_json: bool) -> None:
    if as_json:
        print_json(event.as_json())
    else:
        console().print(event_line(event), soft_wrap=True)
