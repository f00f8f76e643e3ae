from __future__ import annotations

from aiokafka.producer.message_accumulator import BatchBuilder

from consumer.kafka.batches import BATCH_BYTES, Batch, BatchLimits, Filling
from tests.builders import message


def filling(most_bytes: int = BATCH_BYTES) -> Filling:
    return Filling(lambda: BatchBuilder(BATCH_BYTES, 0), most_bytes)


def filled(made: Filling) -> list[tuple[int, list[int]]]:
    return [(batch.partition, batch.positions) for batch in made.batches()]


def test_each_partition_keeps_its_order() -> None:
    """Full batches are followed by others; the first of every partition go before any second one."""
    made, large = filling(), message(value=b"x" * 100_000)
    for position in range(7):
        made.add(position, position % 2, large)
    assert filled(made) == [(0, [0, 2]), (1, [1, 3]), (0, [4, 6]), (1, [5])]


def test_message_larger_than_a_batch_has_one_of_its_own() -> None:
    """Nothing shares the fate of a message that the broker may refuse."""
    made = filling()
    for position, size in enumerate((10, 300_000, 10)):
        made.add(position, 0, message(value=b"x" * size))
    assert filled(made) == [(0, [0]), (0, [1]), (0, [2])]


def test_lowered_limit_ends_at_one_message_a_batch() -> None:
    """However small the refused batch was, the next limit is smaller."""
    limits = BatchLimits()
    for _ in range(20):
        made = filling(limits.of("t"))
        for position in range(3):
            made.add(position, 0, message())
        first: Batch = next(iter(made.batches()))
        if len(first.positions) == 1:
            break
        limits.lower("t", first)
    assert filled(made) == [(0, [0]), (0, [1]), (0, [2])]
    assert limits.of("another") == BATCH_BYTES
