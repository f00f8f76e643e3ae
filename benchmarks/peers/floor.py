"""The floor of intake: nothing but a loop of aiokafka and asyncpg around the durable work."""

from __future__ import annotations

import asyncio

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.peers import rows


async def main() -> None:
    """Poll, store, send, wait for the acknowledgements, commit; for ever."""
    servers = {"bootstrap_servers": rows.BOOTSTRAP_SERVERS}
    consumer = AIOKafkaConsumer(
        rows.COMMANDS,
        **servers,
        group_id=rows.GROUP,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_poll_records=rows.BATCH,
    )
    producer = AIOKafkaProducer(**servers, acks="all", enable_idempotence=True, max_batch_size=256 * 1024)
    connection = await asyncpg.connect(rows.DATABASE_URL)
    await producer.start()
    await consumer.start()
    while True:
        fetched = await consumer.getmany(timeout_ms=1000)
        accepted = [rows.read(record) for records in fetched.values() for record in records]
        if not accepted:
            continue
        await rows.store(connection, accepted)
        sent = [await producer.send(rows.STATUS, row.value, row.key, headers=row.headers) for row in accepted]
        await asyncio.gather(*sent)
        await consumer.commit({partition: records[-1].offset + 1 for partition, records in fetched.items()})


if __name__ == "__main__":
    asyncio.run(main())
