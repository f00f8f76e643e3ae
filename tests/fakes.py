"""Small stand-ins for what the core talks to, true to the promises of the protocols."""

from __future__ import annotations

import asyncio
import copy
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import structlog
from structlog.testing import LogCapture

from consumer.errors import LeaseLostError, PublishError
from consumer.forecasting.types import ProductOverview, ProductProfile, WeeklySales
from consumer.model import Execution
from consumer.outbound import Cause
from consumer.ports.fenced import ResultRows
from consumer.ports.queue import ChunkProgress, LeaseState
from consumer.steps import Step
from consumer.verdict import Facts
from schemas.commands import CancelExecution
from schemas.enums import CommandKind, ErrorCode, StatusExecucao, TopicKind
from tests.builders import AS_OF, COMPOSER, NOW, at
from tests.builders import execution as pending

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from collections.abc import Set as AbstractSet
    from datetime import date, datetime

    from structlog.typing import FilteringBoundLogger

    from consumer.forecasting.champion import Champion, TrainedModel
    from consumer.forecasting.types import PlannedChunk, PlannedProduct, ProductForecast, ProductMetric
    from consumer.model import Lease
    from consumer.outbound import OutboxMessage
    from consumer.ports.fenced import FencedWork
    from consumer.ports.queue import Claim
    from consumer.received import Identity, Received, Refused
    from schemas.records import RawRecord


@dataclass(slots=True)
class ManualClock:
    """Time that moves when the test says so; ``step`` seconds pass with each look at the wall."""

    seconds: float = 0.0
    step: float = 0.0

    def now(self) -> datetime:
        self.seconds += self.step
        return at(self.seconds)

    def monotonic(self) -> float:
        return self.seconds


class CapturedLog:
    """A logger whose lines the test reads; ``names`` are the events in order."""

    def __init__(self) -> None:
        self._capture = LogCapture()
        wrapper = structlog.make_filtering_bound_logger(0)
        bound = structlog.wrap_logger(structlog.ReturnLogger(), processors=[self._capture], wrapper_class=wrapper)
        self.log = cast("FilteringBoundLogger", bound)

    @property
    def entries(self) -> list[Any]:
        return list(self._capture.entries)

    @property
    def names(self) -> list[str]:
        return [entry["event"] for entry in self.entries]


# --- intake


@dataclass(slots=True)
class InboxState:
    """What a database would hold."""

    commands: dict[Identity, Received] = field(default_factory=dict)
    executions: dict[str, Execution] = field(default_factory=dict)
    unattached: dict[str, StatusExecucao] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    told: dict[str, str] = field(default_factory=dict)
    users: set[str] = field(default_factory=set)
    refused: set[tuple[str, int, int, int]] = field(default_factory=set)
    messages: list[OutboxMessage] = field(default_factory=list)

    def attached(self) -> dict[str, Received]:
        kept = {item.execucao_id: item for item in self.commands.values()}
        return {key: item for key, item in kept.items() if key in self.executions}


class FakeInbox:
    """``consumer.intake.Inbox`` in memory; ``failures`` are raised at the next commits."""

    def __init__(self) -> None:
        self.state = InboxState()
        self.failures: list[Exception] = []
        self.commits = 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[FakeInboxTransaction]:
        working = copy.deepcopy(self.state)
        yield FakeInboxTransaction(working)
        if self.failures:
            raise self.failures.pop(0)
        self.state = working
        self.commits += 1


class FakeInboxTransaction:
    def __init__(self, state: InboxState) -> None:
        self._state = state

    async def reserve(self, records: Sequence[RawRecord]) -> None:
        """Nobody else is there."""

    async def facts(self, received: Sequence[Received]) -> Facts:
        state = self._state
        named = {item.execucao_id for item in received if item.names_execution}
        statuses = {key: execution.status for key, execution in state.executions.items()} | state.unattached
        return Facts(
            known={
                item.identity: state.commands[item.identity].digest
                for item in received
                if item.identity in state.commands
            },
            executions={key: status for key, status in statuses.items() if key in named},
            attached=frozenset(state.executions) & named,
            running=frozenset(state.running) & named,
            users=frozenset(state.users),
            refused=frozenset(state.refused),
        )

    async def accept(self, received: Sequence[Received]) -> list[Received]:
        for item in received:
            self._state.commands[item.identity] = item
            self._state.unattached.pop(item.execucao_id, None)
            execution = Execution(item.execucao_id, item.kind, item.gatilho, replay_of=item.replay_of)
            execution.accept(NOW)
            self._keep(execution, item)
        return []

    async def cancel(self, received: Sequence[Received]) -> list[Received]:
        for item in received:
            self._state.commands[item.identity] = item
            error = (ErrorCode.CANCELLED, item.cancel_reason)
            execution = self._state.executions.get(item.execucao_id)
            if execution is None:
                self._end_unattached(item.execucao_id, item.topic_kind, error)
            elif item.execucao_id in self._state.running:
                self._state.told[item.execucao_id] = execution.cancel_reason = item.cancel_reason
            elif not execution.terminal:
                execution.finish(StatusExecucao.ERRO, NOW, error=error)
                self._keep(execution, self._cause(execution))
        return []

    async def refuse(self, refused: Sequence[Refused]) -> int:
        new = 0
        for item in refused:
            position = (item.raw.topic, item.raw.partition, item.raw.offset, item.raw.timestamp_ms)
            if position in self._state.refused:
                continue
            new += 1
            self._state.refused.add(position)
            self._state.messages += COMPOSER.refuse(item, NOW)
            if item.execucao_id is not None:
                self._end_unattached(item.execucao_id, item.topic_kind, (ErrorCode.REJECTED, item.summary))
        return new

    def _cause(self, execution: Execution) -> Received:
        commands = [item for item in self._state.commands.values() if not isinstance(item.command, CancelExecution)]
        return next(item for item in commands if item.execucao_id == execution.execucao_id)

    def _end_unattached(self, execucao_id: str, topic_kind: TopicKind, error: tuple[ErrorCode, str]) -> None:
        if self._state.unattached.get(execucao_id) is StatusExecucao.PENDENTE:
            kind = CommandKind.PREDICT if topic_kind is TopicKind.CANCEL else CommandKind(topic_kind.value)
            ended = pending(execucao_id, kind)
            ended.finish(StatusExecucao.ERRO, NOW, error=error)
            self._state.unattached[execucao_id] = StatusExecucao.ERRO
            self._publish(ended, None)

    def _keep(self, execution: Execution, item: Received) -> None:
        self._publish(execution, item)
        execution.events.clear()
        self._state.executions[execution.execucao_id] = execution

    def _publish(self, execution: Execution, item: Received | None) -> None:
        why = Cause() if item is None else item.cause
        self._state.messages += [one for event in execution.events for one in COMPOSER.compose(event, why)]


# --- execution


@dataclass(slots=True)
class StoredExecution:
    """One execution of the fake queue: the aggregate and everything a transaction may write."""

    execution: Execution
    epoch: int = 1
    plan: dict[str, Any] | None = None
    chunks: dict[int, PlannedChunk] = field(default_factory=dict)
    summaries: dict[int, dict[str, Any]] = field(default_factory=dict)
    results: dict[str, ProductForecast] = field(default_factory=dict)
    metrics: dict[str, list[ProductMetric]] = field(default_factory=lambda: defaultdict(list))
    rows: int = 0
    models: list[tuple[TrainedModel, bool]] = field(default_factory=list)


class FakeQueue:
    """``consumer.ports.queue.CommandQueue`` in memory: transactions work on a copy, which replaces the original."""

    def __init__(self) -> None:
        self.stored: dict[str, StoredExecution] = {}
        self.waiting: list[Claim] = []
        self.events: list[Any] = []
        self.handed_back: list[Lease] = []
        self.retried: list[tuple[Lease, float]] = []
        self.states: dict[Lease, LeaseState] = {}
        self.present_champion: Champion | None = None
        self.present_tft: Champion | None = None
        self.transactions = 0
        self._committed = asyncio.Event()
        self.fail_with: Exception | None = None
        self.claims_asked: list[int] = []

    def add(self, claim: Claim, **values: Any) -> Claim:
        """Put an execution there as intake leaves it, claimed."""
        execution = Execution(
            claim.lease.execucao_id, claim.comando, cast("Any", "MANUAL"), attempt=claim.attempt, **values
        )
        execution.accept(NOW)
        self.events += execution.events
        execution.events.clear()
        self.stored[claim.lease.execucao_id] = StoredExecution(execution, claim.lease.epoch)
        return claim

    def resumed(self, claim: Claim) -> Claim:
        """The claim that another worker would get now."""
        stored = self.stored[claim.lease.execucao_id]
        stored.epoch += 1
        stored.execution.attempt += 1
        return replace(
            claim, lease=replace(claim.lease, epoch=stored.epoch), attempt=stored.execution.attempt, plan=stored.plan
        )

    async def claim(self, limit: int) -> list[Claim]:
        self.claims_asked.append(limit)
        self._maybe_fail()
        taken, self.waiting = self.waiting[:limit], self.waiting[limit:]
        return taken

    async def extend(self, leases: Sequence[Lease]) -> Mapping[Lease, LeaseState]:
        self._maybe_fail()
        return {lease: self.states.get(lease, LeaseState.HELD) for lease in leases}

    async def hand_back(self, lease: Lease) -> None:
        self._maybe_fail()
        self.handed_back.append(lease)

    async def retry_later(self, lease: Lease, delay_seconds: float) -> None:
        self._maybe_fail()
        self.retried.append((lease, delay_seconds))

    @asynccontextmanager
    async def fenced(self, lease: Lease) -> AsyncIterator[FakeWork]:
        self._maybe_fail()
        stored = self.stored[lease.execucao_id]
        if stored.epoch != lease.epoch or stored.execution.terminal:
            raise LeaseLostError(f"epoch {lease.epoch}")
        working = copy.deepcopy(stored)
        yield FakeWork(working, self.present_champion, self.present_tft)
        if self.stored[lease.execucao_id].epoch != lease.epoch:
            raise LeaseLostError(f"epoch {lease.epoch}")
        self.transactions += 1
        self._committed.set()
        self.events += working.execution.events
        working.execution.events.clear()
        working.execution.touched_steps.clear()
        self.stored[lease.execucao_id] = working

    async def committed(self, transactions: int) -> None:
        """Wait until that many transactions have been committed."""
        while self.transactions < transactions:
            self._committed.clear()
            await self._committed.wait()

    async def write(self, lease: Lease, change: Callable[[FencedWork], Awaitable[None]]) -> None:
        async with self.fenced(lease) as work:
            await change(work)

    async def chunks(self, execucao_id: str) -> list[ChunkProgress]:
        stored = self.stored[execucao_id]
        return [
            ChunkProgress(number, Step(chunk.step_order), len(chunk.products), number in stored.summaries)
            for number, chunk in sorted(stored.chunks.items())
        ]

    async def write_down(self, execucao_id: str, horizon: int, forecasts: Sequence[ProductForecast]) -> ResultRows:  # noqa: ARG002
        return unwritten(horizon, forecasts)

    async def chunk_products(self, execucao_id: str, number: int) -> tuple[PlannedProduct, ...]:
        return self.stored[execucao_id].chunks[number].products

    async def champion(self, tipo_modelo: str) -> Champion | None:
        """One champion serves all types but the TFT."""
        return self.present_tft if tipo_modelo == "TFT" else self.present_champion

    def _maybe_fail(self) -> None:
        if self.fail_with is not None:
            raise self.fail_with


def unwritten(horizon: int, forecasts: Sequence[ProductForecast]) -> ResultRows:
    """The rows in the form that ``FakeWork`` keeps: the forecasts themselves."""
    return ResultRows(tuple(one.product_id for one in forecasts), (horizon, tuple(forecasts)))


class FakeWork:
    """``consumer.ports.fenced.FencedWork`` on a copy."""

    def __init__(self, stored: StoredExecution, champion: Champion | None, tft: Champion | None) -> None:
        self.execution = stored.execution
        self._stored = stored
        self._champion = champion
        self._tft = tft

    async def save_plan(self, plan: dict[str, Any], chunks: Sequence[PlannedChunk]) -> None:
        self._stored.plan = plan
        self._stored.chunks = {chunk.number: chunk for chunk in chunks}

    async def save_chunk(self, number: int, summary: dict[str, Any]) -> None:
        self._stored.summaries[number] = copy.deepcopy(summary)

    async def summaries(self, step: Step | None = None) -> list[dict[str, Any]]:
        chunks = self._stored.chunks
        numbers = sorted(one for one in self._stored.summaries if step in (None, Step(chunks[one].step_order)))
        return [self._stored.summaries[number] for number in numbers]

    async def replace_results(self, rows: ResultRows) -> int:
        written = 0
        horizon, forecasts = rows.form
        for forecast in forecasts:
            assert len(forecast.volume) == horizon
            self._stored.results[forecast.product_id] = forecast
            written += horizon * (1 if forecast.revenue is None else 2)
        return written

    async def replace_metrics(self, metrics: Sequence[ProductMetric]) -> int:
        for metric in metrics:
            self._stored.metrics[metric.product_id] = [
                *(one for one in self._stored.metrics[metric.product_id] if one.variant is not metric.variant),
                metric,
            ]
        return 0

    async def count_results(self) -> int:
        kept = self._stored.results.values()
        return sum(len(one.volume) * (1 if one.revenue is None else 2) for one in kept)

    async def champion(self, tipo_modelo: str) -> Champion | None:
        return self._tft if tipo_modelo == "TFT" else self._champion

    async def add_model(self, model: TrainedModel, decision: Mapping[str, Any], *, champion: bool) -> int:
        assert decision["promoted"] is champion
        self._stored.models.append((model, champion))
        return len(self._stored.models)


class FakeSales:
    """``consumer.ports.sales.SalesReader``: the volumes of each product's last weeks up to ``AS_OF``, price 2."""

    def __init__(self, volumes: Mapping[str, Sequence[float]], *, without_sales: Sequence[str] = ()) -> None:
        self._volumes = {name: np.asarray(values, dtype=np.float64) for name, values in sorted(volumes.items())}
        self._products = {*self._volumes, *without_sales}
        self.read: list[tuple[str, ...]] = []

    async def newest_week(self) -> date | None:
        return AS_OF if self._volumes else None

    async def overview(self, product_ids: Sequence[str] | None, until: date) -> list[ProductOverview]:
        asked = set(self._volumes if product_ids is None else product_ids)
        return [
            self._overview(name, until) for name in self._volumes if name in asked and self._kept(name, until).any()
        ]

    async def profiles(self, product_ids: Sequence[str]) -> dict[str, ProductProfile]:
        return {name: ProductProfile(name, preco_venda=2.0) for name in product_ids if name in self._products}

    async def weekly_sales(self, product_ids: Sequence[str], end: date) -> WeeklySales:
        self.read.append(tuple(product_ids))
        kept = [self._kept(name, end) for name in product_ids]
        volume = np.concatenate([self._volume(name)[keep] for name, keep in zip(product_ids, kept, strict=True)])
        week = np.concatenate([self._weeks(name)[keep] for name, keep in zip(product_ids, kept, strict=True)])
        product = np.repeat(np.arange(len(product_ids)), [int(keep.sum()) for keep in kept]).astype(np.int64)
        return WeeklySales(tuple(product_ids), product, week, volume, volume * 2)

    def _volume(self, name: str) -> Any:
        return self._volumes.get(name, np.empty(0))

    def _kept(self, name: str, until: date) -> Any:
        return self._weeks(name) <= np.datetime64(until, "D")

    def _weeks(self, name: str) -> Any:
        return np.datetime64(AS_OF, "D") - 7 * np.arange(self._volume(name).size)[::-1]

    def _overview(self, name: str, until: date) -> ProductOverview:
        kept = self._kept(name, until)
        weeks, volume = self._weeks(name)[kept], self._volume(name)[kept]
        return ProductOverview(name, weeks[0].item(), weeks[-1].item(), float(np.nansum(volume) * 2))


class InlineCompute:
    """``consumer.ports.compute.Compute`` in this process; ``before`` is called with each request first."""

    def __init__(self, before: Callable[[Any], None] | None = None) -> None:
        self.requests: list[Any] = []
        self._before = before

    async def run(
        self,
        function: Callable[[Any], Any],
        request: Any,
        timeout_seconds: float | None = None,  # noqa: ARG002
    ) -> Any:
        await asyncio.sleep(0)
        if self._before is not None:
            self._before(request)
        self.requests.append(request)
        return function(request)


# --- the relay


class FakeOutbox:
    """``consumer.ports.relay.Outbox`` in memory."""

    def __init__(self, *messages: OutboxMessage) -> None:
        self.rows: dict[int, OutboxMessage] = dict(enumerate(messages, start=1))
        self.parked: dict[int, str] = {}
        self.held = True
        self.holds = 0
        self.looked = asyncio.Event()
        self.failures: list[Exception] = []
        self.deletions: list[list[int]] = []
        self.parkings: list[dict[int, str]] = []
        self._reading: PausedReads | None = None

    def add(self, message: OutboxMessage) -> None:
        self.rows[max(self.rows, default=0) + 1] = message

    async def hold(self, seconds: float) -> bool:  # noqa: ARG002  the test says who holds it
        self.holds += 1
        return self.held

    async def pending(self, limit: int, leave_out: AbstractSet[int] = frozenset()) -> list[tuple[int, OutboxMessage]]:
        self.looked.set()
        rows = [row for row in sorted(self.rows) if row not in self.parked and row not in leave_out]
        found = [(row, self.rows[row]) for row in rows[:limit]]
        if self._reading is not None:
            await self._reading.pause()
        return found

    def pausing_reads(self) -> PausedReads:
        """From now on every read waits, with what it has found, until the test lets it go on."""
        self._reading = PausedReads()
        return self._reading

    async def delete(self, ids: Sequence[int]) -> None:
        self._fail()
        self.deletions.append(list(ids))
        for row in ids:
            self.rows.pop(row, None)

    async def park(self, reasons: Mapping[int, str]) -> None:
        self._fail()
        self.parkings.append(dict(reasons))
        self.parked.update(reasons)

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)


class PausedReads:
    """Reads of an outbox in the hand of a test."""

    def __init__(self) -> None:
        self._begun = asyncio.Semaphore(0)
        self._go_on = asyncio.Semaphore(0)
        self._released = False

    async def pause(self) -> None:
        self._begun.release()
        if not self._released:
            await self._go_on.acquire()

    async def begun(self) -> None:
        await self._begun.acquire()

    async def pass_one(self) -> None:
        await self.begun()
        self._go_on.release()

    def release(self) -> None:
        self._released = True
        self._go_on.release()


class FakePublisher:
    """``consumer.ports.relay.Publisher``: ``answers`` by event id, everything else is acknowledged.

    Like a producer, a line takes nothing more after a message whose outcome is unknown. With ``slow`` set, receipts
    wait until the test completes them.
    """

    def __init__(self, **answers: Exception) -> None:
        self.answers: dict[str, Exception] = dict(answers)
        self.sent: list[str] = []
        self.lines: list[FakeLine] = []
        self.receipts: list[FakeReceipt] = []
        self.down = self.slow = False
        self.published = asyncio.Event()

    async def line(self) -> FakeLine:
        if self.down:
            raise PublishError("no broker")
        self.lines.append(FakeLine(self))
        return self.lines[-1]


class FakeLine:
    def __init__(self, publisher: FakePublisher) -> None:
        self._publisher = publisher
        self._open: list[FakeReceipt] = []
        self._failed = False

    async def send(self, messages: Sequence[OutboxMessage]) -> FakeReceipt:
        await asyncio.sleep(0)
        publisher = self._publisher
        outcomes: list[Exception | None] = []
        for message in messages:
            outcome = PublishError("line broken") if self._failed else publisher.answers.get(message.event_id)
            if outcome is None:
                publisher.sent.append(message.event_id)
            self._failed |= isinstance(outcome, PublishError)
            outcomes.append(outcome)
        receipt = FakeReceipt(outcomes)
        self._open.append(receipt)
        publisher.receipts.append(receipt)
        if not publisher.slow:
            receipt.done.set()
        publisher.published.set()
        return receipt

    async def close(self) -> None:
        self._failed = True
        for receipt in self._open:
            receipt.give_up()


class FakeReceipt:
    def __init__(self, outcomes: list[Exception | None]) -> None:
        self.outcomes = outcomes
        self.done = asyncio.Event()

    @property
    def complete(self) -> bool:
        return self.done.is_set()

    async def wait(self) -> Sequence[Exception | None]:
        await self.done.wait()
        return self.outcomes

    def give_up(self) -> None:
        if not self.done.is_set():
            self.outcomes = [PublishError("given up")] * len(self.outcomes)
            self.done.set()
