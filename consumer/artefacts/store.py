"""``consumer.ports.artefacts.ArtefactStore`` on a directory that all workers share.

``work/<execution>/<key>/`` holds checkpoints: each file's name carries its own SHA-256, so whatever is found is either
whole or not taken. ``models/<execution>/<type>/`` holds what ``forecast_modelo.arquivo_path`` refers to; the hashes
stand in the database. Every name is made here, from ids and constants; what comes back from the database is checked.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from consumer.errors import TransientError
from consumer.ports.artefacts import ArtefactError, StoredFile
from consumer.verified_files import UnusableFileError, digest, read_plain, read_verified, try_out, write_whole

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from consumer.clock import Clock

WORK: Final = "work"
MODELS: Final = "models"
_OWNER: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,99}")
_FAMILY: Final = re.compile(r"[A-Z][A-Z_]{0,49}")
_NAME: Final = re.compile(r"([a-z0-9][a-z0-9_-]{0,99})\.(arrow|json|parquet|safetensors|txt)")
_REFERENCE: Final = re.compile(f"{MODELS}/({_OWNER.pattern})/({_FAMILY.pattern})")
_SHA: Final = re.compile(r"[0-9a-f]{64}")


class FileArtefacts:
    """Owns one directory; makes it when something is written first, or tried out."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self._root = root.absolute()
        self._clock = clock

    def workspace(self, execucao_id: str, key: str) -> FileWorkspace:
        """Checkpoints of one execution that were made of the same inputs; ``key`` stands for these."""
        return FileWorkspace(self._root / WORK / _owner(execucao_id) / _named(_OWNER, key))

    async def try_out(self) -> None:
        """See at the start what the first train would find out.

        Raises:
            TransientError: The directory cannot be written to.
        """
        with _usable("written", self._root):
            await asyncio.to_thread(try_out, self._root)

    async def clear(self, execucao_id: str) -> None:
        """Delete an execution's checkpoints."""
        await asyncio.to_thread(_remove, self._root / WORK / _owner(execucao_id))

    async def read(self, file: StoredFile) -> bytes:
        """Read a file that must still be what was written.

        Raises:
            ArtefactError: It is missing or was altered.
        """
        try:
            return await asyncio.to_thread(read_verified, Path(file.path), file.sha256)
        except UnusableFileError as error:
            raise ArtefactError(str(error)) from error

    async def publish(self, execucao_id: str, family: str, files: Mapping[str, bytes]) -> str:
        """Write a model's files; the reference for ``arquivo_path``.

        Writing the same model again, as a resumed execution does, changes nothing.

        Raises:
            TransientError: The directory cannot be written to.
        """
        reference = f"{MODELS}/{_owner(execucao_id)}/{_named(_FAMILY, family)}"
        with _usable("written", self._root):
            for name, content in files.items():
                await asyncio.to_thread(write_whole, self._root / reference / _named(_NAME, name), content)
        return reference

    async def find(self, reference: str, hashes: Mapping[str, str]) -> dict[str, StoredFile]:
        """Check a reference and the files behind it against what the database remembers.

        Raises:
            ArtefactError: The reference leads out of the directory, or a file is missing or was altered.
        """
        if not _REFERENCE.fullmatch(reference):
            raise ArtefactError(f"arquivo_path {reference[:100]!r} is none that this service makes")
        if not hashes or not all(_NAME.fullmatch(name) and _SHA.fullmatch(sha) for name, sha in hashes.items()):
            raise ArtefactError("parametros names no files with their SHA-256")
        directory = self._root / reference
        await asyncio.to_thread(_refuse_links, self._root, directory)
        files = {name: StoredFile(str(directory / name), sha) for name, sha in sorted(hashes.items())}
        for file in files.values():
            await self.read(file)
        return files

    async def owners(self, minimum_age_seconds: float) -> list[str]:
        """Executions that have files here which nobody has touched for a while.

        Raises:
            TransientError: The directory cannot be read.
        """
        with _usable("read", self._root):
            return await asyncio.to_thread(self._owners, self._clock.now().timestamp() - minimum_age_seconds)

    async def prune(self, execucao_id: str, referred: Collection[str]) -> int:
        """Delete an ended execution's checkpoints, and its models that are not referred to; how many directories.

        Raises:
            TransientError: The directory cannot be read.
        """
        with _usable("read", self._root):
            return await asyncio.to_thread(self._prune, _owner(execucao_id), referred)

    def _owners(self, before: float) -> list[str]:
        found: set[str] = set()
        for part in (WORK, MODELS):
            for directory in _children(self._root / part):
                if _OWNER.fullmatch(directory.name) and _newest_change(directory) < before:
                    found.add(directory.name)
        return sorted(found)

    def _prune(self, owner: str, referred: Collection[str]) -> int:
        unused = [directory for directory in (self._root / WORK / owner,) if directory.exists()]
        models = self._root / MODELS / owner
        families = _children(models)
        unused += [family for family in families if f"{MODELS}/{owner}/{family.name}" not in referred]
        removed = sum(_remove(directory) for directory in unused)
        if models.exists() and not _children(models):
            _remove(models)
        return removed


class FileWorkspace:
    """``consumer.ports.artefacts.Workspace``: a directory of files whose names carry their hashes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._verified: dict[str, StoredFile] = {}

    async def find(self, name: str) -> StoredFile | None:
        """The checkpoint of that name if it is there and whole."""
        if name not in self._verified:
            found = await asyncio.to_thread(self._look_for, name)
            if found is None:
                return None
            self._verified[name] = found
        return self._verified[name]

    async def keep(self, name: str, content: bytes) -> StoredFile:
        """Write a checkpoint.

        Raises:
            TransientError: The directory cannot be written to.
        """
        stem, suffix = _parts(name)
        sha = await asyncio.to_thread(digest, content)
        path = self._directory / f"{stem}.{sha}.{suffix}"
        with _usable("written", self._directory):
            await asyncio.to_thread(write_whole, path, content)
        self._verified[name] = StoredFile(str(path), sha)
        return self._verified[name]

    def _look_for(self, name: str) -> StoredFile | None:
        stem, suffix = _parts(name)
        for path in sorted(self._directory.glob(f"{stem}.*.{suffix}")):
            recorded = path.name.removeprefix(f"{stem}.").removesuffix(f".{suffix}")
            try:
                if _SHA.fullmatch(recorded) and digest(read_plain(path)) == recorded:
                    return StoredFile(str(path), recorded)
            except UnusableFileError:
                continue
        return None


def _refuse_links(root: Path, directory: Path) -> None:
    if directory.resolve() != root.resolve() / directory.relative_to(root):
        raise ArtefactError("arquivo_path leads through a link")


def _owner(execucao_id: str) -> str:
    """An execution's id as a name of a directory: UUID text is one; anything else goes by its hash."""
    return execucao_id if _OWNER.fullmatch(execucao_id) else digest(execucao_id.encode())


def _named(pattern: re.Pattern[str], name: str) -> str:
    if not pattern.fullmatch(name):
        raise ValueError(f"{name!r} is no name of an artefact; it must match {pattern.pattern}")
    return name


def _parts(name: str) -> tuple[str, str]:
    stem, _, suffix = _named(_NAME, name).rpartition(".")
    return stem, suffix


def _children(directory: Path) -> list[Path]:
    try:
        return sorted(path for path in directory.iterdir() if path.is_dir() and not path.is_symlink())
    except FileNotFoundError:
        return []


def _newest_change(directory: Path) -> float:
    """When something was last added anywhere below; infinitely late if it goes away while we look."""
    try:
        return max(path.stat().st_mtime for path in (directory, *directory.rglob("*")))
    except FileNotFoundError:
        return float("inf")


def _remove(directory: Path) -> bool:
    """Delete a tree that another process may be deleting as well; whether it is gone."""
    shutil.rmtree(directory, ignore_errors=True)
    return not directory.exists()


@contextmanager
def _usable(how: str, directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"artefacts cannot be {how} in {directory}: {error.strerror or error}"
        raise TransientError(message) from error
