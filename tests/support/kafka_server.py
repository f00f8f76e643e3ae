"""Apache Kafka (KRaft) on loopback, for tests that need the real thing: one node, or another broker beside it."""

from __future__ import annotations

import base64
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Self

from consumer.demo.processes import ServerError, ServerProcess, free_port
from tests.support.kafka_libraries import java_version, kafka_libraries, kafka_version

if TYPE_CHECKING:
    from collections.abc import Mapping

_STARTED = "Kafka Server started"
# The one line of the log that says that clients are welcome, and warnings.
_LOG4J = """\
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
logger.started.name=kafka.server.KafkaRaftServer
logger.started.level=info
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d %p %c{1} %m%n
"""


class KafkaServer:
    """A real broker with its own ports and data directory, both kept over ``stop``, ``kill`` and ``restart``.

    Topics are not created by first use; six partitions and one replica are the defaults; groups form at once.

    Args:
        directory: Data, configuration and log; None: a temporary one, removed by ``close``.
        settings: More lines of ``server.properties``, on top of the defaults.
        heap_megabytes: ``-Xmx`` of the JVM.
        beside: A node that has been started, whose cluster this one joins as its second broker; else it is broker and
            controller of a cluster of its own.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        settings: Mapping[str, str] | None = None,
        heap_megabytes: int = 512,
        beside: KafkaServer | None = None,
    ) -> None:
        self._beside = beside
        self._cluster: str = _new_id() if beside is None else beside._cluster
        self._directory = directory
        self._temporary = directory is None
        self.port = free_port()
        self._controller_port = free_port()
        self._settings = dict(settings or {})
        self._heap = heap_megabytes
        self._process: ServerProcess | None = None

    @property
    def bootstrap_servers(self) -> str:
        """What a client connects to; known before the start."""
        return f"127.0.0.1:{self.port}"

    @property
    def description(self) -> str:
        """For the header of the test run."""
        return f"Apache Kafka {kafka_version()} by Maven (Java {java_version()}), {self.bootstrap_servers}"

    @property
    def directory(self) -> Path:
        """Data, configuration and log; a temporary one is made when it is first asked for."""
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="forecast-kafka-"))
        return self._directory

    @property
    def pid(self) -> int:
        """Process id of the JVM."""
        return self._running().pid

    @property
    def log(self) -> Path:
        """The broker's log: warnings and errors."""
        return self.directory / "broker.log"

    def start(self) -> None:
        """Start the node, formatted at the first time, and return when it serves clients.

        Raises:
            ServerError: It did not start within 60 s; the message ends with its log.
            KafkaUnavailableError: The jars are not here and could not be downloaded.
        """
        if self._process is None:
            self._process = self._prepare()
        self._process.start(lambda logged: _STARTED in logged, within=60)

    def stop(self) -> None:
        """Stop in good order, within 15 s or it is killed."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """kill -9, as a crash would have it."""
        self._running().kill()

    def restart(self) -> None:
        """Stop and start: same ports, same data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and never answer."""
        self._running().pause()

    def resume(self) -> None:
        """SIGCONT."""
        self._running().resume()

    def log_tail(self) -> str:
        """The last lines of the log, for a failing test's report."""
        return "" if self._process is None else self._process.log_tail()

    def close(self) -> None:
        """Stop, and remove a temporary directory."""
        self.stop()
        if self._temporary and self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = self._process = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _running(self) -> ServerProcess:
        if self._process is None:
            raise ServerError("the test broker was not started")
        return self._process

    def _prepare(self) -> ServerProcess:
        class_path = f"{kafka_libraries()}/*"
        self.directory.mkdir(parents=True, exist_ok=True)
        properties = self.directory / "server.properties"
        properties.write_text("".join(f"{name}={value}\n" for name, value in self._properties().items()))
        log4j = self.directory / "log4j2.properties"
        log4j.write_text(_LOG4J)
        java = ["java", f"-Xmx{self._heap}m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", class_path]
        java.append(f"-Dlog4j2.configurationFile={log4j}")
        if not Path(self._properties()["log.dirs"]).exists():
            first = "--standalone" if self._beside is None else "--no-initial-controllers"
            _format([*java, "kafka.tools.StorageTool", "format", first, f"--cluster-id={self._cluster}"], properties)
        return ServerProcess(
            [*java, "kafka.Kafka", str(properties)],
            self.log,
            remove_when_orphaned=self.directory if self._temporary else None,
        )

    def _properties(self) -> dict[str, str]:
        controller = f"127.0.0.1:{self._controller_port}"
        internal_topics = ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "listeners": f"PLAINTEXT://{self.bootstrap_servers},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap_servers}",
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.bootstrap.servers": controller,
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": str(self.directory / "data"),
            **{f"{topic}.replication.factor": "1" for topic in internal_topics},
            **{f"{topic}.num.partitions": "4" for topic in internal_topics},
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            # A killed broker may register again only when its old session has ended; 9 s is long for a test.
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            "auto.create.topics.enable": "false",
            "num.partitions": "6",
            **({} if self._beside is None else self._as_second_broker(self._beside)),
            **self._settings,
        }

    def _as_second_broker(self, first: KafkaServer) -> dict[str, str]:
        return {
            "process.roles": "broker",
            "node.id": "2",
            "listeners": f"PLAINTEXT://{self.bootstrap_servers}",
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{first._controller_port}",
        }


def _format(storage_tool: list[str], properties: Path) -> None:
    command = [*storage_tool, "-c", str(properties)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise ServerError(f"formatting the test broker's storage failed:\n{done.stdout}{done.stderr}")


def _new_id() -> str:
    """Of a cluster, as Kafka writes one."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
