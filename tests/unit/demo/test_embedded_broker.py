from __future__ import annotations

import pytest
from confluent_kafka.admin import AdminClient

from consumer.demo.embedded_broker import PARTITIONS, EmbeddedBroker
from consumer.demo.processes import ServerError


def test_embedded_broker_listens_on_loopback_and_makes_topics() -> None:
    """Another client finds the topics asked for, with the partitions that the mock broker gives."""
    with EmbeddedBroker() as broker:
        broker.ensure_topics(["forecast.train", "forecast.status"])
        assert broker.bootstrap_servers.startswith("127.0.0.1:")
        topics = AdminClient({"bootstrap.servers": broker.bootstrap_servers}).list_topics(timeout=10).topics
    assert {name: len(topic.partitions) for name, topic in topics.items()} == {
        "forecast.train": PARTITIONS,
        "forecast.status": PARTITIONS,
    }


def test_broker_that_was_not_started_says_so() -> None:
    """Asking a broker that does not run for its address is an error, not a wrong address."""
    broker = EmbeddedBroker()
    with pytest.raises(ServerError, match="not started"):
        _ = broker.bootstrap_servers
    with pytest.raises(ServerError, match="not started"):
        broker.ensure_topics(["forecast.train"])
