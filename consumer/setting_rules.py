"""What a setting must be beyond its type. Messages follow the variable's name and value: ``NAME is 'value'; …``."""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from consumer.settings import Settings

PREFIX: Final = "FORECAST_"
TOPICS: Final = tuple(
    f"topic_{name}" for name in ("train", "predict", "backtest", "cancel", "status", "step_log", "dlq")
)
# Empty, as in a template, they are as if not set; an empty database URL is a mistake.
MAY_BE_EMPTY: Final = frozenset(
    {"kafka_username", "kafka_password", "kafka_ssl_cafile", "compute_processes", "compute_memory_megabytes"}
)

_SERVER: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[\w.-]+):([0-9]{1,5})")
_MAX_PORT: Final = 65535


def variable(field: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + field.upper()


def named(value: str) -> str:
    """A name that is one.

    Raises:
        ValueError: It is empty.
    """
    if not value.strip():
        raise ValueError("it must not be empty")
    return value


def servers(value: str) -> str:
    """Addresses of brokers.

    Raises:
        ValueError: One of them is not host and port.
    """
    for part in value.split(","):
        found = _SERVER.fullmatch(part.strip())
        if found is None or not 1 <= int(found[1]) <= _MAX_PORT:
            raise ValueError(f"it must be host:port[,host:port], each port from 1 to {_MAX_PORT}")
    return value


def pattern(value: str) -> str:
    """A regular expression.

    Raises:
        ValueError: It is none.
    """
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"it must be a regular expression: {error}") from None
    return value


def contradictions(settings: Settings) -> list[str]:
    """A line for each setting that does not go with the others."""
    return [*_shared_topics(settings), *_missing_credentials(settings), *_bad_certificates(settings)]


def _shared_topics(settings: Settings) -> Iterator[str]:
    """A service that reads what it writes answers itself for ever."""
    seen: dict[str, str] = {}
    for field in TOPICS:
        topic = getattr(settings, field)
        if topic in seen:
            names = f"{variable(field)} and {variable(seen[topic])}"
            yield f"{names} are both {topic!r}; each of the seven must be its own"
        seen.setdefault(topic, field)


def _missing_credentials(settings: Settings) -> Iterator[str]:
    protocol = settings.kafka_security_protocol
    if protocol.startswith("SASL"):
        why = f"with {variable('kafka_security_protocol')}={protocol} it must be set"
        for field in ("kafka_username", "kafka_password"):
            if not getattr(settings, field):
                yield f"{variable(field)} is empty; {why}"


def _bad_certificates(settings: Settings) -> Iterator[str]:
    file = settings.kafka_ssl_cafile
    if file is None or not settings.kafka_security_protocol.endswith("SSL"):
        return
    try:
        ssl.create_default_context(cafile=str(file))
    except OSError as error:  # ssl.SSLError is one: the file could be read, and is no such thing
        why = "holds no certificate" if isinstance(error, ssl.SSLError) else f"cannot be read ({error.strerror})"
        right = "it must be a file of certificates in PEM form, or empty for the system's"
        yield f"{variable('kafka_ssl_cafile')} is {str(file)!r}, which {why}; {right}"
