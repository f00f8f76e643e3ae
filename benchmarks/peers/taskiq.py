"""taskiq on Kafka (taskiq-aio-kafka): a task a command, up to a hundred at once.

Its consumer commits by aiokafka's timer, whatever became of the task; it is measured without waiting for that.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
from aiokafka import AIOKafkaProducer
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from taskiq import TaskiqEvents, TaskiqMessage, TaskiqState
from taskiq.api import run_receiver_task
from taskiq.formatters.json_formatter import JSONFormatter
from taskiq_aio_kafka import AioKafkaBroker

from benchmarks.peers import rows

if TYPE_CHECKING:
    from benchmarks.commands import Message

TASK = "accept"


def task_message(number: int) -> Message:
    """A command in the form that taskiq sends."""
    headers = {"ce_id": str(uuid4()), "ce_source": "/benchmark"}
    body = {"produto_ids": [f"p{number}"], "horizonte_semanas": 13, "gatilho": "AGENDADO", "priority": 3}
    message = TaskiqMessage(task_id=headers["ce_id"], task_name=TASK, labels={}, args=[headers, body], kwargs={})
    formatter = JSONFormatter()
    return headers["ce_id"].encode(), formatter.dumps(message).message, []


async def main() -> None:
    """Receive until killed."""
    broker = AioKafkaBroker(rows.BOOTSTRAP_SERVERS, kafka_topic=rows.COMMANDS)
    broker.configure_consumer(
        group_id=rows.GROUP,
        auto_offset_reset="earliest",
        partition_assignment_strategy=(RoundRobinPartitionAssignor,),
    )
    broker.is_worker_process = True

    @broker.on_event(TaskiqEvents.WORKER_STARTUP)
    async def open_resources(state: TaskiqState) -> None:
        state.pool = await asyncpg.create_pool(rows.DATABASE_URL)
        state.producer = AIOKafkaProducer(bootstrap_servers=rows.BOOTSTRAP_SERVERS, acks="all", enable_idempotence=True)
        await state.producer.start()

    @broker.task(TASK)
    async def accept(headers: dict[str, str], body: dict[str, Any]) -> None:
        row = rows.accept(headers, body, (rows.COMMANDS, 0, 0))
        async with broker.state.pool.acquire() as connection:
            await rows.store_one(connection, row)
        await broker.state.producer.send_and_wait(rows.STATUS, row.value, row.key, headers=row.headers)

    await run_receiver_task(broker, run_startup=True)


if __name__ == "__main__":
    asyncio.run(main())
