"""The events about one command, collected from the moment before it is sent."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from schemas.enums import StatusExecucao, StepStatus, TopicKind
from schemas.events import CommandRejected, ExecutionStatusChanged, StepLogged

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from consumer.client.events import Event

# The last steps are on another topic than the last status, and may come a moment after it.
LINGER_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class SentCommand:
    """A command that the broker has acknowledged.

    Attributes:
        id: Its ``ce_id``; every event that it causes carries it as ``ce_causationid``.
        execucao_id: Only if the command named one; else the first status event tells it.
    """

    kind: TopicKind
    source: str
    id: str
    topic: str
    execucao_id: str | None
    sent_at: datetime


class Inbox:
    """Picks out what concerns one command and keeps it until it is asked for."""

    def __init__(self, kind: TopicKind, source: str, command_id: str, execucao_id: str | None) -> None:
        self.identity = (source, command_id)
        # A cancellation is answered by another command's execution; any other command by one of its own.
        self._cancels = kind is TopicKind.CANCEL
        self._execution = execucao_id if self._cancels else None
        self._queue: asyncio.Queue[Event | Exception] = asyncio.Queue()
        # An event that concerns the command names one of these.
        self.keys = {command_id} if self._execution is None else {command_id, self._execution}

    def offer(self, event: Event) -> None:
        """Keep the event if it concerns the command."""
        if self._concerns(event):
            self._queue.put_nowait(event)

    def fail(self, error: Exception) -> None:
        """Nothing more will come: whoever waits gets this error."""
        self._queue.put_nowait(error)

    async def events(self, seconds: float | None) -> AsyncIterator[Event]:
        """The command's events up to its end, and the steps that come a moment later.

        Args:
            seconds: How long the whole may take; None: as long as it takes.

        Raises:
            TimeoutError: The end did not come in time.
            ClientError: Reading has failed.
        """
        loop = asyncio.get_running_loop()
        deadline = None if seconds is None else loop.time() + seconds
        last_step_told = False
        while True:
            event = await self._next(None if deadline is None else deadline - loop.time())
            last_step_told = last_step_told or _is_last_step(event)
            yield event
            if event.terminal:
                break
        deadline = loop.time() + LINGER_SECONDS
        while not last_step_told and not self._cancels and _ended_well(event):
            try:
                step = await self._next(deadline - loop.time())
            except TimeoutError:
                return
            last_step_told = _is_last_step(step)
            yield step

    async def _next(self, seconds: float | None) -> Event:
        async with asyncio.timeout(seconds):
            item = await self._queue.get()
        if isinstance(item, Exception):
            raise item
        return item

    def _concerns(self, event: Event) -> bool:
        if isinstance(event.body, CommandRejected):
            return (event.body.source, event.body.id) == self.identity
        if self._execution is None and event.causation_id == self.identity[1]:
            self._execution = event.execucao_id
        return self._execution is not None and event.execucao_id == self._execution


class Mailroom:
    """Hands each event to the inboxes that it may concern, however many there are."""

    def __init__(self) -> None:
        self._inboxes: dict[tuple[str, str], Inbox] = {}
        self._by_key: defaultdict[str, list[Inbox]] = defaultdict(list)
        self._failure: Exception | None = None

    def add(self, inbox: Inbox) -> None:
        """Collect for this inbox from now on; a command that is sent again keeps the one that it has."""
        if inbox.identity in self._inboxes:
            return
        self._inboxes[inbox.identity] = inbox
        for key in inbox.keys:
            self._by_key[key].append(inbox)
        if self._failure is not None:
            inbox.fail(self._failure)

    def deliver(self, event: Event) -> None:
        """Offer the event to whom it may concern."""
        keys = {event.causation_id, event.execucao_id}
        if isinstance(event.body, CommandRejected):
            keys.add(event.body.id)
        # A cancellation and the command that it ends are told of the same event, each once.
        for inbox in {inbox.identity: inbox for key in keys for inbox in self._by_key.get(key or "", ())}.values():
            inbox.offer(event)

    def fail(self, error: Exception) -> None:
        """Nothing more will come, for any inbox."""
        self._failure = error
        for inbox in self._inboxes.values():
            inbox.fail(error)

    def follow(self, identity: tuple[str, str], seconds: float | None) -> AsyncIterator[Event]:
        """The events of one command; its inbox is given up when they end.

        Raises:
            LookupError: There is no inbox of this command.
        """
        inbox = self._inboxes.get(identity)
        if inbox is None:
            raise LookupError(f"nothing is kept about command {identity[1]}: not sent here, or followed already")
        return self._follow(inbox, seconds)

    async def _follow(self, inbox: Inbox, seconds: float | None) -> AsyncIterator[Event]:
        try:
            async for event in inbox.events(seconds):
                yield event
        finally:
            self._inboxes.pop(inbox.identity, None)
            for key in inbox.keys:
                self._by_key[key].remove(inbox)
                if not self._by_key[key]:
                    del self._by_key[key]


def _is_last_step(event: Event) -> bool:
    step = event.body
    return (
        isinstance(step, StepLogged) and step.step_order == step.total_steps and step.status is not StepStatus.RUNNING
    )


def _ended_well(event: Event) -> bool:
    return isinstance(event.body, ExecutionStatusChanged) and event.body.status in (
        StatusExecucao.CONCLUIDO,
        StatusExecucao.PARCIAL,
    )
