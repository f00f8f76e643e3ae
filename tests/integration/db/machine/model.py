"""What the database should hold: the fakes of inbox and fenced work, and who may write what at present."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from consumer.errors import LeaseLostError
from consumer.intake import Intake, IntakeReport
from consumer.model import Lease
from consumer.ports.queue import LeaseState
from schemas.commands import CancelExecution
from tests.builders import COMMAND_TOPICS, COMPOSER, NOW
from tests.fakes import FakeInbox, FakeWork, StoredExecution

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from consumer.model import Execution, ExecutionId
    from consumer.outbound import OutboxMessage
    from consumer.ports.fenced import FencedWork
    from consumer.received import Received
    from schemas.records import RawRecord


MAX_ATTEMPTS = 5  # as ``SqlCommandQueue`` has it by default


@dataclass(slots=True)
class Standing:
    """An attached execution as the command table knows it."""

    item: Received
    stored: StoredExecution
    running: bool = False
    lease_is_over: bool = False
    waits: bool = False


@dataclass(slots=True)
class Model:
    inbox: FakeInbox = field(default_factory=FakeInbox)
    standing: dict[str, Standing] = field(default_factory=dict)

    @property
    def messages(self) -> list[OutboxMessage]:
        return self.inbox.state.messages

    async def take(self, records: Sequence[RawRecord], times: int) -> IntakeReport:
        """The batch, once for each member that holds it."""
        total = IntakeReport()
        for _ in range(times):
            total = total.plus(await Intake(self.inbox, COMMAND_TOPICS, no_new_id).take(records))
        for item in self.inbox.state.commands.values():
            execution = self.inbox.state.executions.get(item.execucao_id)
            if execution is None or isinstance(item.command, CancelExecution):
                continue
            known = self.standing.setdefault(item.execucao_id, Standing(item, StoredExecution(execution, epoch=0)))
            known.stored.execution = execution
        return total

    def claim(self) -> list[Standing]:
        """Everything that may be claimed now, once leases that are over were taken back."""
        for known in self.standing.values():
            if known.running and known.lease_is_over:
                self._give_back(known)
        due = (one for one in self.standing.values() if not (one.running or one.waits or self._ended(one)))
        return sorted(due, key=lambda one: one.item.priority)

    def claimed(self, execucao_id: str) -> Lease:
        """Somebody has it now."""
        known = self.standing[execucao_id]
        known.running, known.lease_is_over = True, False
        known.stored.epoch += 1
        execution = known.stored.execution
        execution.attempt += 1
        self.inbox.state.running.add(execucao_id)
        if execution.cancel_reason is None and execution.attempt <= MAX_ATTEMPTS:
            execution.set_out(NOW, planned=known.stored.plan is not None)
            self._keep(known, execution)
        return Lease(known.item.execucao_id, known.stored.epoch)

    def holds(self, lease: Lease) -> bool:
        known = self.standing.get(lease.execucao_id)
        return known is not None and known.running and known.stored.epoch == lease.epoch

    def extend(self, lease: Lease) -> LeaseState:
        if not self.holds(lease):
            return LeaseState.LOST
        known = self.standing[lease.execucao_id]
        known.lease_is_over = False
        return LeaseState.HELD if known.stored.execution.cancel_reason is None else LeaseState.CANCELLED

    def give_back(self, lease: Lease, *, later: bool) -> None:
        """Handed back, the attempt does not count; tried again later, it does."""
        if not self.holds(lease):
            return
        known = self.standing[lease.execucao_id]
        self._give_back(known)
        execution = known.stored.execution
        execution.attempt -= 0 if later else 1
        known.waits = later and execution.cancel_reason is None

    async def write(self, lease: Lease, action: Callable[[FencedWork], Awaitable[None]]) -> None:
        """All of the action or nothing of it.

        Raises:
            LeaseLostError: Somebody else has it, or nobody.
        """
        if not self.holds(lease):
            raise LeaseLostError
        known = self.standing[lease.execucao_id]
        working = copy.deepcopy(known.stored)
        await action(FakeWork(working, None, None))
        known.stored = working
        self._keep(known, working.execution)
        if working.execution.terminal:
            known.running = False
            self.inbox.state.running.discard(lease.execucao_id)

    def forget(self) -> None:
        """Retention: commands that have ended are forgotten, the backend's rows of their executions stay."""
        state = self.inbox.state
        for name in [name for name, known in self.standing.items() if self._ended(known)]:
            state.unattached[name] = state.executions.pop(name).status
            del self.standing[name]
        done = (key for key, item in state.commands.items() if item.execucao_id not in self.standing)
        cancels = (key for key, item in state.commands.items() if isinstance(item.command, CancelExecution))
        for key in {*done, *cancels}:
            del state.commands[key]
        state.refused.clear()

    def statuses(self) -> dict[str, str]:
        state = self.inbox.state
        made = {name: execution.status for name, execution in state.executions.items()}
        return {name: str(status) for name, status in (state.unattached | made).items()}

    def _keep(self, known: Standing, made: Execution) -> None:
        """What the next transaction loads is what this one left, and no more."""
        self.messages.extend(one for event in made.events for one in COMPOSER.compose(event, known.item.cause))
        known.stored.execution = self.inbox.state.executions[made.execucao_id] = _loaded(made)

    def _give_back(self, known: Standing) -> None:
        known.running = known.lease_is_over = False
        self.inbox.state.running.discard(known.item.execucao_id)

    @staticmethod
    def _ended(known: Standing) -> bool:
        return known.stored.execution.terminal


def _loaded(execution: Execution) -> Execution:
    return replace(execution, steps=dict(execution.steps), events=[], touched_steps=set(), moved_from=None)


def no_new_id() -> ExecutionId:
    raise AssertionError("every command of the machine names its execution")
