from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from consumer.artefacts.pruning import QUIET_SECONDS, ArtefactArchive
from consumer.errors import TransientError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


class Rows:
    """Old rows, a batch of them a call."""

    def __init__(self, *batches: int) -> None:
        self.left = list(batches)

    async def prune(self, keep_days: float, limit: int) -> int:
        assert (keep_days, limit) == (30.0, 100)
        return self.left.pop(0) if self.left else 0


class Files:
    def __init__(self, *owners: str) -> None:
        self.left = list(owners)
        self.asked: list[tuple[str, frozenset[str]]] = []

    async def owners(self, minimum_age_seconds: float) -> list[str]:
        assert minimum_age_seconds == QUIET_SECONDS
        return list(self.left)

    async def prune(self, execucao_id: str, referred: Collection[str]) -> int:
        self.asked.append((execucao_id, frozenset(referred)))
        self.left.remove(execucao_id)
        return 2


class Register:
    """Notes in which order it is asked."""

    def __init__(self, *unfinished: str) -> None:
        self._unfinished = set(unfinished)
        self.order: list[str] = []

    async def unfinished(self, execution_ids: Sequence[str]) -> set[str]:
        self.order.append("unfinished")
        return self._unfinished & set(execution_ids)

    async def referred(self, versions: int) -> set[str]:
        self.order.append("referred")
        return {f"models/kept/{versions}"}


async def test_files_of_ended_executions_go_and_those_in_use_stay() -> None:
    """Leftovers are pruned with what is referred to; an execution that may still write is left alone."""
    files, register = Files("ended", "running"), Register("running")
    archive = ArtefactArchive(Rows(), files, register, keep_versions=3)
    assert await archive.prune(30.0, 100) == 2
    assert files.asked == [("ended", frozenset({"models/kept/3"}))]
    assert files.left == ["running"]


async def test_references_are_read_after_the_look_at_running_executions() -> None:
    """An execution that ends in between has committed its references by then, so its model is not taken for unused."""
    register = Register()
    await ArtefactArchive(Rows(), Files("a"), register, keep_versions=3).prune(30.0, 100)
    assert register.order == ["unfinished", "referred"]


async def test_without_leftovers_the_database_is_not_asked() -> None:
    """Where there are no files there is nothing to ask about."""
    register = Register()
    assert await ArtefactArchive(Rows(), Files(), register, keep_versions=3).prune(30.0, 100) == 0
    assert register.order == []


async def test_files_wait_until_no_old_row_is_left() -> None:
    """A directory that cannot be read keeps no row from being deleted: rows go first, batch after batch."""

    class Unreadable(Files):
        async def owners(self, _: float) -> list[str]:
            raise TransientError("artefacts cannot be read")

    rows = Rows(100, 7)
    archive = ArtefactArchive(rows, Unreadable(), Register(), keep_versions=3)
    assert [await archive.prune(30.0, 100) for _ in range(2)] == [100, 7]
    with pytest.raises(TransientError):
        await archive.prune(30.0, 100)
