"""One reading for all who ask for the same at the same time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Value = TypeVar("Value")


class SharedReading(Generic[Value]):
    """Reads once for everybody who asks before the reading begins, so that no answer is older than its question.

    Who asks while one is under way shares the next, which begins when that one has ended.
    """

    def __init__(self, read: Callable[[], Awaitable[Value]]) -> None:
        self._read = read
        self._under_way: asyncio.Task[Value] | None = None
        self._next: asyncio.Task[Value] | None = None

    async def get(self) -> Value:
        """What was read, or the error of the reading; a caller that is cancelled does not end it for the others."""
        if self._next is None:
            self._next = asyncio.create_task(self._read_after(self._under_way), name="shared reading")
        return await asyncio.shield(self._next)

    async def _read_after(self, before: asyncio.Task[Value] | None) -> Value:
        if before is not None:
            await asyncio.wait({before})
        self._under_way, self._next = self._next, None
        return await self._read()
