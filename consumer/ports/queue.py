"""What execution needs of the command table, as a worker sees it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from consumer.forecasting.champion import Champion
    from consumer.forecasting.types import PlannedProduct, ProductForecast
    from consumer.model import ExecutionId, Lease
    from consumer.ports.fenced import FencedWork, ResultRows
    from consumer.steps import Step
    from schemas.commands import ForecastCommand
    from schemas.enums import CommandKind


@dataclass(frozen=True, slots=True)
class Claim:
    """A command that this process may run now.

    Attributes:
        expired: Its deadline has passed, by the database's clock.
        plan: What an earlier attempt decided, None if none came that far.
        origin: Where the command came from, for the log: command_id, topic, partition, offset.
        begun: Its attempt was begun and told with the claim; else that is left to who runs it.
    """

    lease: Lease
    comando: CommandKind
    command: ForecastCommand
    attempt: int
    expired: bool
    plan: dict[str, Any] | None
    origin: Mapping[str, str | int]
    begun: bool = False


class LeaseState(Enum):
    """What a heartbeat learns about one lease."""

    HELD = "held"
    LOST = "lost"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class ChunkProgress:
    """One chunk of a stored plan."""

    number: int
    step: Step
    size: int
    done: bool


class CommandQueue(Protocol):
    """The command table as a worker sees it. Every method may raise TransientError."""

    async def claim(self, limit: int) -> list[Claim]:
        """Take up to ``limit`` commands that are due, by priority, then age; orphans of dead processes included.

        Those that are neither late nor cancelled begin in the same transaction.
        """
        ...

    async def extend(self, leases: Sequence[Lease]) -> Mapping[Lease, LeaseState]:
        """Heartbeat: prolong the leases that are still ours and say what became of each."""
        ...

    async def hand_back(self, lease: Lease) -> None:
        """Give a command back unharmed: somebody else goes on from the checkpoint, no attempt is counted."""
        ...

    async def retry_later(self, lease: Lease, delay_seconds: float) -> None:
        """Give a command back after a failed attempt, not to be claimed before the delay is over."""
        ...

    def fenced(self, lease: Lease) -> AbstractAsyncContextManager[FencedWork]:
        """Open a transaction on the execution.

        Raises:
            LeaseLostError: The lease is not the newest, or the execution has ended.
        """
        ...

    async def write(self, lease: Lease, change: Callable[[FencedWork], Awaitable[None]]) -> None:
        """Commit a change under the fence, in one transaction with those of other executions that come with it.

        Args:
            change: What to write; it may be called more than once, and only the last time counts.

        Raises:
            LeaseLostError: The lease is not the newest, or the execution has ended.
        """
        ...

    async def chunks(self, execucao_id: ExecutionId) -> list[ChunkProgress]:
        """The stored plan's chunks, in order."""
        ...

    async def chunk_products(self, execucao_id: ExecutionId, number: int) -> tuple[PlannedProduct, ...]:
        """The products of one chunk."""
        ...

    async def write_down(
        self, execucao_id: ExecutionId, horizon: int, forecasts: Sequence[ProductForecast]
    ) -> ResultRows:
        """Make forecasts ready for ``FencedWork.replace_results``, while nobody waits for a row's lock.

        Raises:
            ValueError: A forecast that cannot be stored; the message names the product.
        """
        ...

    async def champion(self, tipo_modelo: str) -> Champion | None:
        """The champion of a model type at this moment; a train may replace it at any time."""
        ...
