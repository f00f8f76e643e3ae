"""What can go wrong, by what follows from it (the table of failure rules in docs/architecture.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from schemas.enums import ErrorCode, StatusExecucao


class ConsumerError(Exception):
    """Base of everything that the service raises itself."""


class TransientError(ConsumerError):
    """The database or broker is away, or a worker process died: the attempt failed, another may succeed."""


class PermanentError(ConsumerError):
    """Trying again cannot help: the execution ends in ERRO with ``code``."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class LeaseLostError(ConsumerError):
    """Somebody else owns the execution now: leave it alone, write nothing."""


class TransitionError(ConsumerError):
    """A state may not follow another; a terminal state never changes."""

    def __init__(self, execucao_id: str, current: StatusExecucao, wanted: StatusExecucao) -> None:
        super().__init__(f"execution {execucao_id} is {current}, it cannot become {wanted}")


class PublishError(ConsumerError):
    """The broker did not acknowledge in time or refused: the outcome is unknown, send again with the same event id."""


class RecordRefusedError(ConsumerError):
    """The broker will never take this very record (too large, unknown partition); others are not affected."""


class OffsetsLostError(ConsumerError):
    """The group moved on while the batch was persisted: drop it, whoever owns the partitions reads it again."""


class StartupError(ConsumerError):
    """The service cannot start; the message is one line with a hint, ``exit_code`` tells a supervisor why."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class UnusableDatabaseError(ConsumerError):
    """The database refuses the statements themselves (a missing column, table or right): no record is to blame."""
