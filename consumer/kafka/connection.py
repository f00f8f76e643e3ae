"""How to reach the cluster, in the words of aiokafka's constructors."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from consumer.settings import Settings


def connection_arguments(settings: Settings) -> dict[str, Any]:
    """Keyword arguments that consumer, producer and admin client share.

    Raises:
        OSError: ``kafka_ssl_cafile`` cannot be read.
    """
    arguments: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "client_id": f"forecast-consumer-{settings.instance}",
        "security_protocol": settings.kafka_security_protocol,
    }
    if "SSL" in settings.kafka_security_protocol and settings.kafka_security_protocol != "SASL_PLAINTEXT":
        cafile = None if settings.kafka_ssl_cafile is None else str(settings.kafka_ssl_cafile)
        arguments["ssl_context"] = ssl.create_default_context(cafile=cafile)
    if settings.kafka_security_protocol.startswith("SASL"):
        arguments["sasl_mechanism"] = settings.kafka_sasl_mechanism
        arguments["sasl_plain_username"] = settings.kafka_username
        if settings.kafka_password is not None:
            arguments["sasl_plain_password"] = settings.kafka_password.get_secret_value()
    return arguments


def no_answer(settings: Settings, error: BaseException) -> str:
    """That no broker answers, where it was looked for, and what to check; a refused log-in looks the same."""
    refusal = (
        ", or does it refuse user, password or protocol" if settings.kafka_security_protocol != "PLAINTEXT" else ""
    )
    checks = f"is Kafka running, is FORECAST_BOOTSTRAP_SERVERS right{refusal}?"
    return f"no broker answers at {settings.bootstrap_servers} ({type(error).__name__}); {checks}"
