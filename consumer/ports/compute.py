"""Where execution has its CPU work done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Request = TypeVar("Request")
Result = TypeVar("Result")


class Compute(Protocol):
    """CPU work in processes of its own, which die with the task that waits for them."""

    async def run(
        self, function: Callable[[Request], Result], request: Request, timeout_seconds: float | None = None
    ) -> Result:
        """Run a pure, picklable function; cancelling the call kills its process.

        Args:
            timeout_seconds: What it may take, where that is not what a chunk may take.

        Raises:
            TransientError: The process died or took longer than allowed.
        """
        ...
