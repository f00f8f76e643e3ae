"""Deleting files that nobody needs any more, as a part of maintenance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from consumer.maintenance import Archive

QUIET_SECONDS: Final = 3600.0  # what was written to more recently is left alone, whatever the tables say


class Register(Protocol):
    """What the tables know of files."""

    async def unfinished(self, execution_ids: Sequence[str]) -> set[str]:
        """Those of the executions that have not ended. May raise TransientError."""
        ...

    async def referred(self, versions: int) -> set[str]:
        """References of the champions and of the newest versions of each type. May raise TransientError."""
        ...


class PrunedFiles(Protocol):
    """A directory of files by execution."""

    async def owners(self, minimum_age_seconds: float) -> list[str]:
        """Executions that have files which nobody has touched for a while. May raise TransientError."""
        ...

    async def prune(self, execucao_id: str, referred: Collection[str]) -> int:
        """Delete all of an execution but the models that are referred to; how many directories went.

        May raise TransientError.
        """
        ...


class ArtefactArchive:
    """``consumer.maintenance.Archive``: first the rows, then files that no row refers to and no execution works on."""

    def __init__(self, rows: Archive, files: PrunedFiles, register: Register, keep_versions: int) -> None:
        self._rows = rows
        self._files = files
        self._register = register
        self._keep_versions = keep_versions

    async def prune(self, keep_days: float, limit: int) -> int:
        """Delete at most about ``limit`` old rows of each kind; when none is left, every leftover file.

        Raises:
            TransientError: The database is away, or the directory cannot be read.
        """
        return await self._rows.prune(keep_days, limit) or await self._prune_files()

    async def _prune_files(self) -> int:
        # In this order: an execution that has ended by the second look has committed the rows of the third.
        owners = await self._files.owners(QUIET_SECONDS)
        if not owners:
            return 0
        unfinished = await self._register.unfinished(owners)
        referred = await self._register.referred(self._keep_versions)
        return sum([await self._files.prune(owner, referred) for owner in owners if owner not in unfinished])
