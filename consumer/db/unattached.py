"""Executions that the backend inserted and whose command never came to be end, so that no screen waits for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from consumer.db.outbox import insert_messages
from consumer.model import Execution, ExecutionId
from consumer.outbound import Cause
from schemas.enums import CommandKind, GatilhoExecucao, StatusExecucao, TopicKind

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from consumer.clock import Clock
    from consumer.outbound import Composer
    from schemas.enums import ErrorCode

# In a statement of its own: the next one then sees the command of whoever adopted it while we waited.
_LOCK: Final = text("SELECT id FROM execucao_planejamento WHERE id = :id AND status = 'PENDENTE' FOR UPDATE")
_END: Final = text("""
    UPDATE execucao_planejamento AS e
       SET status = 'ERRO', error_message = :message, completed_at = :now
     WHERE e.id = :id AND e.status = 'PENDENTE'
       AND NOT EXISTS (SELECT FROM forecast_consumer.command AS c WHERE c.execucao_id = e.id AND c.comando <> 'cancel')
 RETURNING e.gatilho::text AS gatilho, e.parametros ->> 'comando' AS comando""")


async def fail_unattached(
    session: AsyncSession,
    composer: Composer,
    clock: Clock,
    execucao_id: str,
    topic_kind: TopicKind,
    error: tuple[ErrorCode, str],
) -> bool:
    """End a PENDENTE execution that no command is attached to; whether there was one.

    Args:
        topic_kind: Of the command that named it; a cancellation does not tell what the execution was to be.
        error: The code and message for the backend's row and the status event.
    """
    now = clock.now()
    if (await session.execute(_LOCK, {"id": execucao_id})).one_or_none() is None:
        return False
    row = (await session.execute(_END, {"id": execucao_id, "message": error[1], "now": now})).one_or_none()
    if row is None:
        return False
    told = row.comando if topic_kind is TopicKind.CANCEL else topic_kind.value
    kind = CommandKind(told) if told in set(CommandKind) else CommandKind.PREDICT
    execution = Execution(ExecutionId(execucao_id), kind, GatilhoExecucao(row.gatilho))
    execution.finish(StatusExecucao.ERRO, now, error=error)
    messages = [message for event in execution.events for message in composer.compose(event, Cause())]
    await insert_messages(session, messages)
    return True
