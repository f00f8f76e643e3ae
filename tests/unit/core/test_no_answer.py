from __future__ import annotations

import pytest

from consumer.kafka.connection import no_answer
from consumer.settings import Settings


@pytest.mark.parametrize(
    ("protocol", "end"),
    [("PLAINTEXT", "right?"), ("SASL_PLAINTEXT", "right, or does it refuse user, password or protocol?")],
)
def test_line_names_what_to_check(protocol: str, end: str) -> None:
    """A broker that closes the connection may be another one, or one that lets nobody in; the password is not told."""
    values = {"kafka_security_protocol": protocol, "kafka_username": "u", "kafka_password": "geheim"}
    settings = Settings(bootstrap_servers="kafka:9092", **values)  # type: ignore[arg-type]  # names only
    assert no_answer(settings, TimeoutError()) == (
        f"no broker answers at kafka:9092 (TimeoutError); is Kafka running, is FORECAST_BOOTSTRAP_SERVERS {end}"
    )
