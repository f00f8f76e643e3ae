"""A Kafka-compatible broker inside this process: the mock broker that librdkafka ships with confluent-kafka."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from confluent_kafka import Producer

from consumer.demo.processes import ServerError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

LIMITS: Final = "in memory, one member a group, no topic creation"
PARTITIONS: Final = 4
_SECONDS: Final = 15.0


class EmbeddedBroker:
    """A mock broker, in memory: enough for a demo and for most tests, not for production.

    What it lacks: a second member of a group, CreateTopics (a topic exists from its first use and always has
    ``PARTITIONS`` partitions), offsets by time, and records beyond the newest 5 MB of a partition.
    It lives in threads of this process, listens on the loopback interface, and ends with ``close``.
    """

    def __init__(self) -> None:
        self._owner: Producer | None = None
        self._bootstrap_servers: str | None = None

    @property
    def bootstrap_servers(self) -> str:
        """What a client connects to.

        Raises:
            ServerError: The broker was not started.
        """
        if self._bootstrap_servers is None:
            raise ServerError("the embedded broker was not started")
        return self._bootstrap_servers

    def start(self) -> None:
        """Return when clients can connect.

        Raises:
            ServerError: librdkafka did not say where its broker listens.
        """
        if self._owner is not None:
            return
        # The mock cluster belongs to the client that asked for it, and dies with it.
        self._owner = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "ignored", "log_level": 0})
        brokers = self._owner.list_topics(timeout=_SECONDS).brokers.values()
        if not brokers:
            raise ServerError("the embedded broker did not start: librdkafka named no broker")
        self._bootstrap_servers = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)

    def ensure_topics(self, names: Iterable[str]) -> None:
        """Make topics by using them once; each has ``PARTITIONS`` partitions.

        Raises:
            ServerError: The broker was not started, or refused a name.
        """
        if self._owner is None:
            raise ServerError("the embedded broker was not started")
        for name in names:
            error = self._owner.list_topics(name, timeout=_SECONDS).topics[name].error
            if error is not None:
                raise ServerError(f"the embedded broker refused the topic {name!r}: {error.str()}")

    def close(self) -> None:
        """End the broker; what it held is gone."""
        self._owner = None
        self._bootstrap_servers = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
