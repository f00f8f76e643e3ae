"""A bare start: a consumer with its partitions and a producer, then it waits."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.peers import rows


async def main() -> None:
    """Say when both are there."""
    consumer = AIOKafkaConsumer(rows.COMMANDS, bootstrap_servers=rows.BOOTSTRAP_SERVERS, group_id=rows.GROUP)
    producer = AIOKafkaProducer(bootstrap_servers=rows.BOOTSTRAP_SERVERS)
    await asyncio.gather(consumer.start(), producer.start())  # a subscribed consumer starts with its partitions
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
