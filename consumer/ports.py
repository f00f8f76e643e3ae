"""What the inner layers need of the outer ones: small Protocols, each owned by who calls it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from contextlib import AbstractAsyncContextManager
    from datetime import date

    from consumer.forecasting.champion import Champion, TrainedModel
    from consumer.forecasting.types import (
        PlannedChunk,
        PlannedProduct,
        ProductForecast,
        ProductMetric,
        ProductOverview,
        ProductProfile,
        WeeklySales,
    )
    from consumer.model import Execution, ExecutionId, Lease
    from consumer.outbound import OutboxMessage
    from consumer.steps import Step
    from schemas.commands import ForecastCommand
    from schemas.enums import CommandKind
    from schemas.records import RawRecord


Request = TypeVar("Request")
Result = TypeVar("Result")

# --- intake reads the bus


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one poll and, per topic and partition, the offset that follows the last of them."""

    records: tuple[RawRecord, ...]
    next_offsets: Mapping[tuple[str, int], int]


class RecordReader(Protocol):
    """Commands as they come from the bus."""

    async def poll(self, at_most: int | None = None) -> Batch:
        """The next records, no more than a batch or ``at_most``; empty after a bounded wait.

        Raises:
            TransientError: The bus is away; the next poll may begin anew behind what was committed.
        """
        ...

    async def commit(self, next_offsets: Mapping[tuple[str, int], int]) -> None:
        """Mark what stands before these offsets as read, per topic and partition. One call at a time.

        Raises:
            OffsetsLostError: The partitions belong to another member by now.
        """
        ...

    async def leave(self) -> None:
        """Give all partitions to the other members at once; nothing is read any more."""
        ...


# --- execution works through the queue


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


@dataclass(frozen=True, slots=True)
class ResultRows:
    """Forecasts as they will be stored, written down before the transaction in which they are.

    Attributes:
        product_ids: Of which products.
        form: For the store that made it, and nobody else.
    """

    product_ids: tuple[str, ...] = ()
    form: Any = None


class FencedWork(Protocol):
    """One short transaction of an execution, open only while the lease is the newest.

    ``execution`` is loaded under its row's lock; its changes and events are saved with everything else, or nothing is.
    """

    execution: Execution

    async def save_plan(self, plan: dict[str, Any], chunks: Sequence[PlannedChunk]) -> None:
        """Keep what a resumed attempt must not decide anew."""
        ...

    async def save_chunk(self, number: int, summary: dict[str, Any]) -> None:
        """Mark a chunk as computed."""
        ...

    async def summaries(self, step: Step | None = None) -> list[dict[str, Any]]:
        """The summaries of all chunks, or of one step's, in chunk order."""
        ...

    async def replace_results(self, rows: ResultRows) -> int:
        """Write forecasts of products, in place of any that this execution wrote for them; the number of rows."""
        ...

    async def replace_metrics(self, metrics: Sequence[ProductMetric]) -> int:
        """The same for metrics; the number of values that the table could not hold and that became NULL."""
        ...

    async def count_results(self) -> int:
        """Rows of ``forecast_resultado`` that this execution has."""
        ...

    async def champion(self, tipo_modelo: str) -> Champion | None:
        """The present champion of a model type; nobody else changes it before this transaction ends."""
        ...

    async def add_model(self, model: TrainedModel, decision: Mapping[str, Any], *, champion: bool) -> int:
        """Store a trained model with the decision on it; a new champion takes the place of the old one. Its version."""
        ...


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


class SalesReader(Protocol):
    """The product's history and classification, read without any open transaction. May raise TransientError."""

    async def newest_week(self) -> date | None:
        """The newest Monday that any product has a row for."""
        ...

    async def overview(self, product_ids: Sequence[str] | None, until: date) -> list[ProductOverview]:
        """The products that have data up to the week of ``until``, sorted by id; None asks for all."""
        ...

    async def profiles(self, product_ids: Sequence[str]) -> dict[str, ProductProfile]:
        """Classification and price of the products that exist."""
        ...

    async def weekly_sales(self, product_ids: Sequence[str], end: date) -> WeeklySales:
        """Weekly history up to and including the week of ``end``."""
        ...


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


# --- the relay empties the outbox


class Outbox(Protocol):
    """Committed events that wait for the broker."""

    async def hold(self, seconds: float) -> bool:
        """Become or stay the one relay that publishes; False while another is alive."""
        ...

    async def pending(self, limit: int, leave_out: AbstractSet[int] = frozenset()) -> list[tuple[int, OutboxMessage]]:
        """The oldest messages with their row ids, but for the rows that are left out."""
        ...

    async def delete(self, ids: Sequence[int]) -> None:
        """Forget messages that the broker has acknowledged."""
        ...

    async def park(self, row_id: int, reason: str) -> None:
        """Set aside a message that the broker will never take, so that it holds up nobody."""
        ...


class Receipt(Protocol):
    """What becomes of messages that were sent together."""

    @property
    def complete(self) -> bool:
        """Whether every outcome is there without waiting."""
        ...

    async def wait(self) -> Sequence[Exception | None]:
        """For each message None once acknowledged, else what went wrong; bounded.

        RecordRefusedError is final for its message, PublishError leaves the outcome unknown.
        """
        ...


class Line(Protocol):
    """A way to the bus on which no message overtakes another one of its topic and key."""

    async def send(self, messages: Sequence[OutboxMessage]) -> Receipt:
        """Send behind everything that was sent before, many in flight. After a failure nothing goes through any more.

        One call at a time.
        """
        ...

    async def close(self) -> None:
        """Give the line up: what is not acknowledged by now never will be, and every receipt is complete."""
        ...


class Publisher(Protocol):
    """The way to the bus."""

    async def line(self) -> Line:
        """The present line, or a new one after one was closed or broke.

        Raises:
            PublishError: The bus is away.
        """
        ...
