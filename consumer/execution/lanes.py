"""The same work on many items, some at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from consumer.execution.run import DrainingError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from consumer.execution.run import Run

Item = TypeVar("Item")


async def side_by_side(run: Run, items: Sequence[Item], work: Callable[[Item], Awaitable[None]]) -> None:
    """Do ``work`` on every item; the first failure ends the others and is raised.

    Raises:
        DrainingError: The process shuts down; what was begun has ended, some items are left.
    """
    todo = iter(items)
    try:
        async with asyncio.TaskGroup() as lanes:
            for _ in range(min(run.options.parallel_chunks, len(items))):
                lanes.create_task(_lane(run, todo, work))
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from group  # the first failure ended the others; it decides what follows
    if next(todo, None) is not None:
        raise DrainingError


async def _lane(run: Run, todo: Iterator[Item], work: Callable[[Item], Awaitable[None]]) -> None:
    while not run.draining.is_set():
        item = next(todo, None)
        if item is None:
            return
        await work(item)
