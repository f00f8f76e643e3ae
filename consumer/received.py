"""A record after it was read: a command with its identity, or a refusal with the reason. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from consumer.model import ExecutionId
from consumer.outbound import Cause
from schemas.commands import CancelExecution, canonical_json
from schemas.enums import CommandKind, GatilhoExecucao, TopicKind
from schemas.envelope import receive as receive_command
from schemas.errors import BadRecord, FieldError
from schemas.records import Envelope, RawRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemas.commands import Command

DEFAULT_PRIORITY = 5


class Identity(NamedTuple):
    """What makes two records the same command."""

    source: str
    event_id: str


@dataclass(frozen=True, slots=True)
class Received:
    """A valid command and where it came from.

    Attributes:
        identity: Stable over redelivery and replay.
        execucao_id: The execution that it names, or one made for it.
        names_execution: Whether the producer named the execution.
        replay_of: The execution that it repeats, if a replay made it.
    """

    raw: RawRecord
    topic_kind: TopicKind
    envelope: Envelope
    identity: Identity
    command: Command
    digest: bytes
    execucao_id: ExecutionId
    names_execution: bool
    replay_of: str | None = None

    @property
    def kind(self) -> CommandKind:
        """What the execution is to do; a cancellation has none and raises ValueError."""
        return CommandKind(self.topic_kind.value)

    @property
    def gatilho(self) -> GatilhoExecucao:
        """What triggered it; a cancellation is somebody's wish."""
        return GatilhoExecucao.MANUAL if isinstance(self.command, CancelExecution) else self.command.gatilho

    @property
    def priority(self) -> int:
        """Lower runs first."""
        return DEFAULT_PRIORITY if isinstance(self.command, CancelExecution) else self.command.priority

    @property
    def created_by(self) -> str | None:
        """The user behind it."""
        return None if isinstance(self.command, CancelExecution) else self.command.created_by

    @property
    def cancel_reason(self) -> str:
        """Why an execution is to be cancelled."""
        motivo = self.command.motivo if isinstance(self.command, CancelExecution) else None
        return f"cancelled: {motivo}" if motivo else "cancelled on request"

    @property
    def canonical_json(self) -> str:
        """The command's data with every default filled in."""
        return canonical_json(self.command)

    @property
    def cause(self) -> Cause:
        """What the events of its execution answer."""
        return Cause.of(self.envelope)

    def refuse(self, error: FieldError) -> Refused:
        """The same record, refused for what the database already holds."""
        named = self.execucao_id if self.names_execution else None
        return Refused(self.raw, self.topic_kind, self.envelope, named, (error,))


@dataclass(frozen=True, slots=True)
class Refused:
    """A bad record; ``envelope`` and ``execucao_id`` as far as they could be read."""

    raw: RawRecord
    topic_kind: TopicKind
    envelope: Envelope
    execucao_id: str | None
    errors: tuple[FieldError, ...]

    @property
    def reason(self) -> str:
        """Code of the first error."""
        return str(self.errors[0].code)

    @property
    def summary(self) -> str:
        """The errors in one line."""
        return "; ".join(error.message for error in self.errors)


def receive(raw: RawRecord, topic_kind: TopicKind, new_id: Callable[[], ExecutionId]) -> Received | Refused:
    """Read one record; never raises for what stands in it."""
    try:
        received = receive_command(raw, topic_kind)
    except BadRecord as error:
        envelope = error.envelope or Envelope(f"kafka:{raw.topic}", raw.position)
        return Refused(raw, topic_kind, envelope, error.execucao_id, error.errors)
    named = received.command.execucao_id
    return Received(
        raw=raw,
        topic_kind=topic_kind,
        envelope=received.envelope,
        identity=Identity(received.envelope.source, received.envelope.id),
        command=received.command,
        digest=received.digest,
        execucao_id=ExecutionId(named) if named is not None else new_id(),
        names_execution=named is not None,
    )
