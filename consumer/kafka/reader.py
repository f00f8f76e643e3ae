"""Reading commands: batches by ``getmany``, offsets committed by name and only by our own hand."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from consumer.errors import OffsetsLostError, TransientError
from consumer.failpoints import reach
from consumer.kafka.closing import close_consumer
from consumer.kafka.connection import connection_arguments
from consumer.kafka.lenient import read_leniently
from consumer.ports.intake import Batch
from schemas.records import RawRecord

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from structlog.typing import FilteringBoundLogger

    from consumer.settings import Settings

CONNECT_SECONDS: Final = 10.0
METADATA_SECONDS: Final = 60  # new partitions are read after it
COMMIT_SECONDS: Final = 10.0
REVOKE_SECONDS: Final = 1.0  # for a commit that is under way when the group takes partitions away
STOP_SECONDS: Final = 1.5  # a member that cannot say goodbye is missed when its session ends
REBALANCE_SECONDS: Final = 5.0  # beyond the poll interval; aiokafka's own wait for the group has no end


class KafkaReader:
    """``consumer.ports.intake.RecordReader`` over one member of the group. Use ``async with``.

    The first poll connects, and so does the one after a consumer had to be given up: a broker that is away at the
    start is waited for like one that leaves later. ``assigned`` is called when the group has given out partitions.
    """

    def __init__(
        self, settings: Settings, log: FilteringBoundLogger, assigned: Callable[[], None] = lambda: None
    ) -> None:
        read_leniently()
        self._settings = settings
        self._assigned = assigned
        self._log = log
        self._consumer: Any = None
        self._paused = False
        self._committing = asyncio.Lock()
        self._generation = 0

    @property
    def generation(self) -> int:
        """How often partitions were taken away, or given up."""
        return self._generation

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()

    async def poll(self, at_most: int | None = None) -> Batch:
        """Wait for records, at most the poll interval of the settings and a little more while the group rebalances.

        Raises:
            TransientError: The cluster is away, or the group does not come to rest.
        """
        consumer = await self._connected()
        self._hold_pause()
        seconds = self._settings.intake_poll_seconds
        try:
            # A cancelled getmany loses nothing: between its last wait and its return it only takes from a buffer.
            async with asyncio.timeout(seconds + REBALANCE_SECONDS):
                fetched = await consumer.getmany(timeout_ms=int(seconds * 1000), max_records=at_most)
        except TimeoutError as error:
            raise TransientError("the group has not assigned partitions yet") from error
        except KafkaError as error:
            # Records of other partitions may have been taken from the buffer and lost with the error, and the next
            # commit would pass over them: begin anew from the committed offsets.
            await self.leave()
            raise TransientError(f"{type(error).__name__}: {error}") from error
        records = tuple(_raw(record) for batch in fetched.values() for record in batch)
        return Batch(records, {(tp.topic, tp.partition): batch[-1].offset + 1 for tp, batch in fetched.items()})

    def pause(self, *, paused: bool) -> None:
        """Fetch nothing more, or go on; polls go on either way, so that the group keeps this member."""
        self._paused = paused
        if not paused and self._consumer is not None:
            self._consumer.resume(*self._consumer.paused())

    async def _revoked(self) -> None:
        """Let a commit end that is under way, so that whoever gets the partitions next begins behind it."""
        self._generation += 1
        with suppress(TimeoutError):
            async with asyncio.timeout(REVOKE_SECONDS), self._committing:
                pass

    def _hold_pause(self) -> None:
        """Every rebalance loses the flags: they are set before the first fetch of what it assigned."""
        if self._paused and self._consumer is not None:
            self._consumer.pause(*(self._consumer.assignment() - self._consumer.paused()))

    async def commit(self, next_offsets: Mapping[tuple[str, int], int]) -> None:
        """Commit exactly these offsets.

        Raises:
            OffsetsLostError: The group has rebalanced; the records are persisted, so nothing is to be done.
            TransientError: The cluster is away.
        """
        offsets = {TopicPartition(topic, number): offset for (topic, number), offset in next_offsets.items()}
        try:
            async with asyncio.timeout(COMMIT_SECONDS), self._committing:
                consumer = self._consumer  # it may have been given up while another commit was waited for
                if consumer is None:
                    raise OffsetsLostError("the consumer that read them was given up")
                await consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError) as error:
            raise OffsetsLostError(str(error)) from error
        except (KafkaError, TimeoutError) as error:
            raise TransientError(f"offsets not committed: {type(error).__name__}") from error

    async def _connected(self) -> Any:
        if self._consumer is not None and self._consumer._fetcher.error_future.done():  # noqa: SLF001  no public way
            await self.leave()  # nothing is fetched any more, and every poll would be empty
        if self._consumer is None:
            consumer = self._new_consumer()
            topics = list(self._settings.command_topics.values())
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await consumer.start()
                    for topic in topics:  # a group whose leader does not know them yet is given nothing to read
                        await consumer._client._wait_on_metadata(topic)  # noqa: SLF001  as aiokafka's own start
            except BaseException as error:
                await close_consumer(consumer, STOP_SECONDS, self._log)
                if isinstance(error, (KafkaError, TimeoutError, OSError)):
                    message = f"cannot read from Kafka at {self._settings.bootstrap_servers}: {type(error).__name__}"
                    raise TransientError(message) from error
                raise
            # Only now: a consumer that has subscribed before waits in its start until the whole group is at rest.
            listener = _Listener(self._log, self._revoked, self._hold_pause, self._assigned)
            consumer.subscribe(topics=topics, listener=listener)
            self._consumer = consumer
        return self._consumer

    def _new_consumer(self) -> Any:
        settings = self._settings
        return AIOKafkaConsumer(
            **connection_arguments(settings),
            group_id=settings.group_id,
            enable_auto_commit=False,  # the timer would commit what is not persisted yet
            auto_offset_reset="earliest",  # a new group starts with the whole log: duplicates are dropped by identity
            metadata_max_age_ms=METADATA_SECONDS * 1000,
            max_poll_records=settings.intake_batch,
            max_poll_interval_ms=int(settings.max_poll_interval_seconds * 1000),
            session_timeout_ms=int(settings.session_timeout_seconds * 1000),
            heartbeat_interval_ms=int(settings.session_timeout_seconds * 1000 / 10),
        )

    async def leave(self) -> None:
        """Leave the group, so that others get the partitions without waiting for the end of a session."""
        consumer, self._consumer = self._consumer, None
        self._generation += 1
        if consumer is not None:
            await close_consumer(consumer, STOP_SECONDS, self._log)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Rebalances are normal; they are told, because a storm of them is not."""

    def __init__(
        self,
        log: FilteringBoundLogger,
        revoked: Callable[[], Awaitable[None]],
        before_assignment: Callable[[], None],
        assigned: Callable[[], None],
    ) -> None:
        self._log = log
        self._revoked = revoked
        self._before_assignment = before_assignment
        self._assigned = assigned

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Nothing to save: what was persisted is being committed, and the rest stays in Kafka."""
        reach("in_rebalance")
        self._log.info("partitions_revoked", partitions=len(list(revoked)))
        await self._revoked()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Hold a pause on the new partitions, and tell which they are."""
        self._before_assignment()
        reach("in_rebalance")
        self._log.info("partitions_assigned", partitions=sorted(f"{tp.topic}/{tp.partition}" for tp in assigned))
        self._assigned()


def _raw(record: Any) -> RawRecord:
    return RawRecord(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
    )
