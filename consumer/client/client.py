"""``ForecastClient``: sends commands and follows each to its end, over one producer and one reader."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

from consumer.client.errors import ClientError
from consumer.client.inbox import Inbox, Mailroom, SentCommand
from consumer.client.message import DEFAULT_SOURCE, Attributes, compose_command, given_data, kind_of, new_command_id
from consumer.client.partitions import partitions_of
from consumer.client.replies import ReplyReader
from consumer.clock import SystemClock
from consumer.kafka.publisher import KafkaPublisher
from consumer.outbound import OutboxMessage
from consumer.telemetry.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime

    from consumer.client.events import Event
    from consumer.client.message import CommandMessage
    from consumer.clock import Clock
    from consumer.settings import Settings
    from schemas.commands import Command


class ForecastClient:
    """What the backend does: commands out, events in. Use ``async with``; any number of commands at once.

    With ``replies`` (the default) the reader stands at the end of the reply topics before the first command is
    sent, and the events of each command are kept for ``follow`` until the client is closed. Without, nothing is
    read, and ``follow`` is not possible: for those that only produce.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        replies: bool = True,
        clock: Clock | None = None,
        new_id: Callable[[], str] = new_command_id,
    ) -> None:
        """Prepare a client; nothing connects before ``async with``.

        Args:
            settings: Where the cluster is and what the topics are called.
            replies: Whether commands will be followed.
            clock: Gives ``ce_time``.
            new_id: Makes the ids of commands that are sent without one.
        """
        self._settings = settings
        self._replies = replies
        self._clock = clock or SystemClock()
        self._new_id = new_id
        self._publisher = KafkaPublisher(settings, get_logger("client"))
        self._mailroom = Mailroom()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            ClientError: No broker answers, or a topic is missing.
        """
        async with AsyncExitStack() as stack:
            await partitions_of(self._settings, list(self._settings.command_topics.values()))
            if self._replies:
                reader = await stack.enter_async_context(ReplyReader(self._settings))
                stack.push_async_callback(_cancelled, asyncio.create_task(self._deliver(reader)))
            await stack.enter_async_context(self._publisher)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def send(
        self,
        command: Command,
        *,
        id: str | None = None,  # noqa: A002 - CloudEvents' own word
        source: str = DEFAULT_SOURCE,
        correlation_id: str | None = None,
        expires_at: datetime | None = None,
    ) -> SentCommand:
        """Send a command and wait for the broker's acknowledgement.

        Args:
            command: Only the fields that were set are sent.
            id: Its ``ce_id``; the same id and source again are the same command, which is run once.
            source: ``ce_source``.
            correlation_id: Echoed in every reply.
            expires_at: Deadline, aware.

        Raises:
            schemas.errors.BadRecord: The envelope breaks a rule, or the record is too large; nothing was sent.
            ClientError: Not acknowledged.
        """
        kind = kind_of(command)
        topic = self._settings.command_topics[kind]
        attributes = Attributes(source, id or self._new_id(), self._clock.now(), correlation_id, expires_at)
        message = compose_command(kind, given_data(command), topic, attributes)
        message.check()
        return await self.send_message(message)

    async def send_message(self, message: CommandMessage) -> SentCommand:
        """Send a record as it is, also one that the service will reject.

        Raises:
            ClientError: Not acknowledged: whether it arrived is unknown.
        """
        identity = (message.attributes.source, message.attributes.id)
        if self._replies:
            self._mailroom.add(Inbox(message.kind, *identity, message.execucao_id))
        record = OutboxMessage(identity[1], message.topic, None, message.key, message.value, message.headers)
        outcome = (await self._publisher.publish([record]))[0]
        if outcome is not None:
            raise ClientError(
                f"{outcome}; whether the command arrived is unknown: send it again with the same id {identity[1]}"
            )
        return SentCommand(message.kind, *identity, message.topic, message.execucao_id, self._clock.now())

    def follow(self, sent: SentCommand, timeout: float | None = None) -> AsyncIterator[Event]:
        """The events about a command, in order, none twice: status and steps, or the rejection.

        It ends after the terminal status (steps that come within a second of it are still given) or the
        rejection; of a cancellation, after the terminal status of the execution that it names. Each command
        can be followed once.

        Args:
            sent: What ``send`` gave.
            timeout: Seconds that the whole may take; None: as long as it takes.

        Raises:
            LookupError: Sent by another client or followed to its end, or this client reads no replies.
            TimeoutError: The end did not come in time (while iterating, as the next).
            ClientError: Reading has failed.
        """
        return self._mailroom.follow((sent.source, sent.id), timeout)

    async def _deliver(self, reader: ReplyReader) -> None:
        try:
            while True:
                for event in await reader.read():
                    self._mailroom.deliver(event)
        except ClientError as error:
            self._mailroom.fail(error)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})
