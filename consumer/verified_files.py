"""Reading and writing single files so that a crash, a bad disk or a stranger can do no harm."""

from __future__ import annotations

import os
import stat
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Final

LARGEST: Final = 1 << 30  # bytes of one artefact; the largest that the service writes has some tens of millions


class UnusableFileError(Exception):
    """A file is missing, is no plain file, or is not what was written; the message says which."""


def digest(content: bytes) -> str:
    """SHA-256, in hex."""
    return sha256(content).hexdigest()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is either there with all its bytes or not there, also after a loss of power.

    Raises:
        OSError: The disk is full, or the directory may not be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def try_out(directory: Path) -> None:
    """Write a byte into a directory, which is made if it is not there, and leave nothing behind.

    Raises:
        OSError: The disk is full, or the directory may not be written to.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=directory) as file:
        file.write(b"\0")


def read_plain(path: Path) -> bytes:
    """Read a regular file; a link is not followed, a device or pipe not opened.

    Raises:
        UnusableFileError: It is missing, or no regular file, or larger than anything the service writes.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise UnusableFileError(f"{path.name} cannot be opened ({error.strerror})") from error
    try:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise UnusableFileError(f"{path.name} is no regular file")
        if about.st_size > LARGEST:
            raise UnusableFileError(f"{path.name} has {about.st_size} bytes, more than the {LARGEST} that are read")
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(handle)


def read_verified(path: Path, expected: str) -> bytes:
    """Read a file whose SHA-256 was recorded when it was written.

    Raises:
        UnusableFileError: As ``read_plain``, or the content is not what was written.
    """
    content = read_plain(path)
    if digest(content) != expected:
        raise UnusableFileError(f"{path.name} was altered: its SHA-256 is not the recorded one")
    return content


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
