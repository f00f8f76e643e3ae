"""What follows for a readable command from what is already known. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from schemas.commands import CancelExecution
from schemas.enums import RejectionCode, StatusExecucao
from schemas.errors import FieldError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from consumer.received import Identity, Received, Refused


@dataclass(frozen=True, slots=True)
class Facts:
    """What the database says about the commands of a batch.

    Attributes:
        known: Digest of the data of each identity that was accepted before.
        executions: Status of each named execution that exists.
        attached: Named executions that belong to a command already.
        users: Those of the named users that exist.
        refused: Positions that were refused before, each as (topic, partition, offset, timestamp).
        running: Attached executions that a worker has now: they end when it says so, not with their cancellation.
    """

    known: Mapping[Identity, bytes] = field(default_factory=dict)
    executions: Mapping[str, StatusExecucao] = field(default_factory=dict)
    attached: AbstractSet[str] = frozenset()
    users: AbstractSet[str] = frozenset()
    refused: AbstractSet[tuple[str, int, int, int]] = frozenset()
    running: AbstractSet[str] = frozenset()


@dataclass(slots=True)
class Verdict:
    """The commands of a batch by what becomes of them."""

    accepted: list[Received] = field(default_factory=list)
    duplicates: list[Received] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


def judge(commands: Iterable[Received], facts: Facts) -> Verdict:
    """Sort out commands that start executions; within the batch the first of an identity or execution wins."""
    verdict = Verdict()
    known = dict(facts.known)
    attached = set(facts.attached)
    for item in commands:
        if item.identity in known:
            _judge_repeated(item, known[item.identity], verdict)
            continue
        error = _refused_before(item, facts) or _conflict(item, facts, attached)
        if error is not None:
            verdict.refused.append(item.refuse(error))
            continue
        known[item.identity] = item.digest
        attached.add(item.execucao_id)
        verdict.accepted.append(item)
    return verdict


def judge_cancels(cancels: Iterable[Received], facts: Facts) -> Verdict:
    """Sort out cancellations: of an execution that exists and has not ended, nor ends by an earlier one of them."""
    verdict = Verdict()
    known = dict(facts.known)
    statuses = dict(facts.executions)
    for item in cancels:
        if item.identity in known:
            _judge_repeated(item, known[item.identity], verdict)
            continue
        error = _refused_before(item, facts) or _cannot_cancel(item, statuses)
        if error is not None:
            verdict.refused.append(item.refuse(error))
            continue
        known[item.identity] = item.digest
        if item.execucao_id not in facts.running:
            statuses[item.execucao_id] = StatusExecucao.ERRO
        verdict.accepted.append(item)
    return verdict


def _judge_repeated(item: Received, digest: bytes, verdict: Verdict) -> None:
    if item.digest == digest:
        verdict.duplicates.append(item)
        return
    message = (
        f"id {item.identity.event_id!r} of source {item.identity.source!r} was used before for other data; "
        "give every new command an id of its own"
    )
    verdict.refused.append(item.refuse(FieldError("ce_id", RejectionCode.ID_REUSED, message)))


def _refused_before(item: Received, facts: Facts) -> FieldError | None:
    """A record has a dead letter or an execution, never both: what is delivered again is not judged anew.

    Meanwhile the execution that it named may exist, or its user; the way back is a new record (``dlq retry``).
    """
    raw = item.raw
    if (raw.topic, raw.partition, raw.offset, raw.timestamp_ms) not in facts.refused:
        return None
    return FieldError("value", RejectionCode.INVALID_VALUE, "the record was refused before; send it again as a new one")


def _conflict(item: Received, facts: Facts, attached: AbstractSet[str]) -> FieldError | None:
    created_by = item.created_by
    if created_by is not None and created_by not in facts.users:
        message = f"no usuario has the id {created_by!r}; name an existing one, or null"
        return FieldError("created_by", RejectionCode.UNKNOWN_USER, message)
    if item.execucao_id in attached:
        message = f"execution {item.execucao_id} belongs to another command; leave execucao_id out or send a new one"
        return FieldError("execucao_id", RejectionCode.EXECUTION_EXISTS, message)
    status = facts.executions.get(item.execucao_id)
    if status is not None and status is not StatusExecucao.PENDENTE:
        message = f"execution {item.execucao_id} is {status} already; only one that is PENDENTE can be adopted"
        return FieldError("execucao_id", RejectionCode.EXECUTION_EXISTS, message)
    return None


def _cannot_cancel(item: Received, statuses: Mapping[str, StatusExecucao]) -> FieldError | None:
    if not isinstance(item.command, CancelExecution):
        raise TypeError(f"not a cancellation: {type(item.command).__name__}")
    status = statuses.get(item.execucao_id)
    if status is None:
        message = f"there is no execution {item.execucao_id}; send the id that its first status event carried"
        return FieldError("execucao_id", RejectionCode.UNKNOWN_EXECUTION, message)
    if status not in (StatusExecucao.PENDENTE, StatusExecucao.EXECUTANDO):
        message = f"execution {item.execucao_id} has ended in {status}; nothing is left to cancel"
        return FieldError("execucao_id", RejectionCode.ALREADY_TERMINAL, message)
    return None
