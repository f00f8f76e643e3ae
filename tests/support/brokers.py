"""Which broker the tests run against: the first of four that this machine has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, cast, get_args

from consumer.demo.embedded_broker import LIMITS, EmbeddedBroker
from consumer.demo.processes import free_port
from tests.support import kafka_libraries
from tests.support.kafka_server import KafkaServer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from testcontainers.community.kafka import KafkaContainer

Kind = Literal["given", "docker", "maven", "embedded"]


class Broker(Protocol):
    """A broker of the tests; ``start`` may be called twice."""

    @property
    def bootstrap_servers(self) -> str: ...
    @property
    def description(self) -> str: ...
    def start(self) -> None: ...
    def close(self) -> None: ...
    def log_tail(self) -> str: ...


class BrokerError(RuntimeError):
    """The environment asks for a broker that cannot be had."""


@dataclass(frozen=True, slots=True)
class BrokerChoice:
    """The broker of a run, not started yet, and why those before it were passed over."""

    kind: Kind
    broker: Broker
    passed_over: tuple[str, ...] = ()

    @property
    def header(self) -> str:
        """A line for the head of the run."""
        because = f" ({'; '.join(self.passed_over)})" if self.kind == "embedded" and self.passed_over else ""
        return f"broker: {self.broker.description}{because}"


@dataclass(slots=True)
class GivenBroker:
    """Somebody else's broker."""

    bootstrap_servers: str

    @property
    def description(self) -> str:
        return f"given by FORECAST_TEST_BOOTSTRAP_SERVERS, {self.bootstrap_servers}"

    def start(self) -> None: ...

    def close(self) -> None: ...

    def log_tail(self) -> str:
        return "(the log of a given broker is where that broker is)"


@dataclass(slots=True)
class DockerBroker:
    """testcontainers' Kafka in KRaft mode."""

    port: int = field(default_factory=free_port)
    _container: KafkaContainer | None = None

    @property
    def bootstrap_servers(self) -> str:
        return f"localhost:{self.port}" if self._container is None else self._container.get_bootstrap_server()

    @property
    def description(self) -> str:
        return f"testcontainers' Kafka in Docker, {self.bootstrap_servers}"

    def start(self) -> None:
        if self._container is not None:
            return
        from testcontainers.community.kafka import KafkaContainer  # noqa: PLC0415  slow to import, seldom used

        container = KafkaContainer().with_kraft().with_bind_ports(9093, self.port)
        for name, value in {
            "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
            "KAFKA_NUM_PARTITIONS": "6",
            "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
            "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        }.items():
            container.with_env(name, value)
        self._container = container.start(timeout=120)

    def close(self) -> None:
        if self._container is not None:
            self._container.stop()

    def log_tail(self) -> str:
        if self._container is None:
            return ""
        return "\n".join(part.decode(errors="replace")[-3000:] for part in self._container.get_logs())


@dataclass(slots=True)
class MockBroker:
    """The embedded broker, as the tests see brokers."""

    _broker: EmbeddedBroker = field(default_factory=EmbeddedBroker)

    @property
    def bootstrap_servers(self) -> str:
        return self._broker.bootstrap_servers

    @property
    def description(self) -> str:
        return f"the embedded mock broker of librdkafka ({LIMITS})"

    def start(self) -> None:
        self._broker.start()

    def close(self) -> None:
        self._broker.close()

    def log_tail(self) -> str:
        return "(the embedded broker keeps no log)"


def docker_answers() -> str | None:
    """None when a Docker engine answers, else what is missing; at most a few seconds."""
    import docker  # noqa: PLC0415  only where it may be used
    from docker.errors import DockerException  # noqa: PLC0415

    try:
        client = docker.from_env(timeout=3)
        try:
            client.ping()
        finally:
            client.close()
    except (DockerException, OSError, ValueError):
        return "no Docker engine answers"
    return None


def choose_broker(
    environment: Mapping[str, str],
    *,
    docker_missing: Callable[[], str | None] = docker_answers,
    maven_missing: Callable[[], str | None] = kafka_libraries.missing,
) -> BrokerChoice:
    """The broker named in the environment; else Docker, Maven or the embedded one, the first that can be had.

    ``FORECAST_TEST_BROKER`` (docker, maven, embedded) takes one out of turn.

    Raises:
        BrokerError: ``CI=true`` and only the embedded broker is left, or the broker asked for cannot be had.
    """
    if given := environment.get("FORECAST_TEST_BOOTSTRAP_SERVERS"):
        return BrokerChoice("given", GivenBroker(given))
    wanted = _wanted(environment)
    candidates: tuple[tuple[Kind, Callable[[], str | None], Callable[[], Broker]], ...] = (
        ("docker", docker_missing, DockerBroker),
        ("maven", maven_missing, KafkaServer),
        ("embedded", lambda: None, MockBroker),
    )
    reasons: list[str] = []
    for kind, missing, create in candidates:
        if wanted not in (None, kind):
            continue
        if reason := missing():
            reasons.append(reason)
            continue
        if kind == "embedded" and environment.get("CI", "").lower() == "true":
            break
        return BrokerChoice(kind, create(), tuple(reasons))
    raise BrokerError(_refusal(wanted, reasons))


def _wanted(environment: Mapping[str, str]) -> Kind | None:
    named = environment.get("FORECAST_TEST_BROKER") or None
    if named is not None and named not in get_args(Kind)[1:]:
        raise BrokerError(f"FORECAST_TEST_BROKER is {named!r}; it may be docker, maven or embedded")
    return cast("Kind | None", named)


def _refusal(wanted: Kind | None, reasons: list[str]) -> str:
    if wanted in ("docker", "maven"):
        return f"FORECAST_TEST_BROKER={wanted} cannot be had: {'; '.join(reasons)}"
    why = "; ".join(reasons) or "FORECAST_TEST_BROKER=embedded"
    return (
        f"CI=true needs a full Kafka broker, and only the embedded one is left ({why}): set "
        f"FORECAST_TEST_BOOTSTRAP_SERVERS, start Docker, or install Java {kafka_libraries.REQUIRED_JAVA} and Maven"
    )
