"""What executions need of the place where models leave files, and of nothing that knows disks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class ArtefactError(Exception):
    """A stored model cannot be used; the message says why. Never a reason to fail: the other models go on."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that is read only if it still is what was written."""

    path: str
    sha256: str


class Workspace(Protocol):
    """Checkpoints made before an execution has a plan; the same inputs always give the same bytes."""

    async def find(self, name: str) -> StoredFile | None:
        """The checkpoint of that name if it is there and whole."""
        ...

    async def keep(self, name: str, content: bytes) -> StoredFile:
        """Write a checkpoint whole, or raise TransientError."""
        ...


class ArtefactStore(Protocol):
    """The one directory in which models leave files."""

    def workspace(self, execucao_id: str, key: str) -> Workspace:
        """Checkpoints of an execution; another ``key`` (other inputs) sees none of them."""
        ...

    async def clear(self, execucao_id: str) -> None:
        """Delete an execution's checkpoints."""
        ...

    async def read(self, file: StoredFile) -> bytes:
        """Its content.

        Raises:
            ArtefactError: It is missing or was altered.
        """
        ...

    async def publish(self, execucao_id: str, family: str, files: Mapping[str, bytes]) -> str:
        """Store a model; its reference for ``forecast_modelo.arquivo_path``. May raise TransientError."""
        ...

    async def find(self, reference: str, hashes: Mapping[str, str]) -> dict[str, StoredFile]:
        """The files behind a reference, by name.

        Args:
            hashes: The SHA-256 that the database remembers of each file, by name.

        Raises:
            ArtefactError: The reference is none of ours, or a file is missing or was altered.
        """
        ...
