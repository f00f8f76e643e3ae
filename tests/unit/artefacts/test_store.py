from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from consumer.artefacts.store import FileArtefacts
from consumer.errors import TransientError
from consumer.ports.artefacts import ArtefactError, StoredFile
from consumer.verified_files import LARGEST, UnusableFileError, digest, read_plain, read_verified
from tests.builders import uuid

FILES = {"volume.txt": b"tree\n", "choices.json": b"{}"}
HASHES = {name: digest(content) for name, content in FILES.items()}
OWNER = uuid(1)


class Late:
    """A clock that is some hours ahead of the files' times."""

    def __init__(self, hours: float = 0.0) -> None:
        self._ahead = timedelta(hours=hours)

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture
def store(tmp_path: Path) -> FileArtefacts:
    return FileArtefacts(tmp_path, Late())


async def test_checkpoint_is_found_again_by_name_and_key(store: FileArtefacts, tmp_path: Path) -> None:
    """A checkpoint is there for the same execution and the same inputs, and for nobody else; its bytes are exact."""
    kept = await store.workspace(OWNER, "a").keep("rows-0001.arrow", b"rows")
    assert await store.read(kept) == b"rows"
    again = FileArtefacts(tmp_path, Late())
    assert await again.workspace(OWNER, "a").find("rows-0001.arrow") == kept
    assert await again.workspace(OWNER, "b").find("rows-0001.arrow") is None
    assert await again.workspace(uuid(2), "a").find("rows-0001.arrow") is None


@pytest.mark.parametrize("damage", [b"", b"row", b"rowS"])
async def test_damaged_checkpoint_is_computed_again(store: FileArtefacts, damage: bytes) -> None:
    """A checkpoint that was cut short or altered counts as missing; what is written anew is found."""
    kept = await store.workspace(OWNER, "a").keep("rows-0001.arrow", b"rows")
    spoil(kept, damage)
    workspace = store.workspace(OWNER, "a")
    assert await workspace.find("rows-0001.arrow") is None
    assert await workspace.keep("rows-0001.arrow", b"rows") == kept
    assert await store.workspace(OWNER, "a").find("rows-0001.arrow") == kept


async def test_half_written_file_is_nothing(store: FileArtefacts) -> None:
    """What a process leaves that dies in the middle of writing is not taken for a checkpoint."""
    kept = await store.workspace(OWNER, "a").keep("model.txt", b"whole")
    cut_short(kept)
    assert await store.workspace(OWNER, "a").find("model.txt") is None


async def test_published_model_is_found_by_its_reference(store: FileArtefacts, tmp_path: Path) -> None:
    """The reference is relative and made of the execution and the type; with the hashes it gives the files back."""
    reference = await store.publish(OWNER, "LGBM", FILES)
    assert reference == f"models/{OWNER}/LGBM"
    assert await store.publish(OWNER, "LGBM", FILES) == reference
    again = FileArtefacts(tmp_path, Late())
    found = await again.find(reference, HASHES)
    assert {name: await again.read(file) for name, file in found.items()} == FILES


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "/etc/passwd",
        "../models/x/LGBM",
        f"models/{OWNER}/../../../etc",
        f"models/{OWNER}/LGBM/",
        f"models/{OWNER}/LGBM\n",
        f"models/{OWNER}/lgbm",
        f"work/{OWNER}/LGBM",
        f"models\\{OWNER}\\LGBM",
        f"models/{OWNER}/LGBM\0",
    ],
)
async def test_reference_that_the_service_does_not_make_is_refused(store: FileArtefacts, reference: str) -> None:
    """A path from the database that is absolute, climbs, or has another form is never opened."""
    await store.publish(OWNER, "LGBM", FILES)
    with pytest.raises(ArtefactError, match="none that this service makes"):
        await store.find(reference, HASHES)


@pytest.mark.parametrize(
    "hashes",
    [{}, {"../volume.txt": digest(b"")}, {"volume.pkl": digest(b"")}, {"/etc/passwd": digest(b"")}, {"volume.txt": ""}],
)
async def test_file_names_from_the_database_are_checked(store: FileArtefacts, hashes: dict[str, str]) -> None:
    """Names that lead elsewhere, or are of no format that is written, are refused before anything is opened."""
    reference = await store.publish(OWNER, "LGBM", FILES)
    with pytest.raises(ArtefactError, match="names no files"):
        await store.find(reference, hashes)


async def test_missing_altered_and_linked_files_are_refused(store: FileArtefacts, tmp_path: Path) -> None:
    """Each way in which stored files can differ from what was written is told by name."""
    reference = await store.publish(OWNER, "LGBM", FILES)
    path = tmp_path / reference / "volume.txt"
    path.write_bytes(b"tree!\n")
    with pytest.raises(ArtefactError, match=r"volume\.txt was altered"):
        await store.find(reference, HASHES)
    path.unlink()
    with pytest.raises(ArtefactError, match=r"volume\.txt cannot be opened"):
        await store.find(reference, HASHES)
    target = tmp_path / "elsewhere"
    target.write_bytes(FILES["volume.txt"])
    path.symlink_to(target)
    with pytest.raises(ArtefactError, match=r"volume\.txt cannot be opened"):
        await store.find(reference, HASHES)


def spoil(file: StoredFile, content: bytes) -> None:
    Path(file.path).write_bytes(content)


def cut_short(file: StoredFile) -> None:
    """As after a crash in the middle of writing."""
    path = Path(file.path)
    path.rename(path.with_name(".abc.part"))


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def move_and_link(directory: Path, target: Path) -> None:
    directory.rename(target)
    directory.symlink_to(target)


async def test_linked_directory_is_refused(store: FileArtefacts, tmp_path: Path) -> None:
    """A link in place of the model's directory is not followed, whatever it holds."""
    reference = await store.publish(OWNER, "LGBM", FILES)
    move_and_link(tmp_path / reference, tmp_path / "moved")
    with pytest.raises(ArtefactError, match="through a link"):
        await store.find(reference, HASHES)


async def test_directory_that_cannot_be_written_is_a_transient_error(tmp_path: Path) -> None:
    """A full or forbidden disk fails the attempt with the directory's name, not the process."""
    (tmp_path / "file").write_bytes(b"")
    store = FileArtefacts(tmp_path / "file", Late())
    with pytest.raises(TransientError, match="artefacts cannot be written in"):
        await store.publish(OWNER, "LGBM", FILES)
    with pytest.raises(TransientError, match="artefacts cannot be written in"):
        await store.workspace(OWNER, "a").keep("rows-0001.arrow", b"rows")
    with pytest.raises(TransientError, match="artefacts cannot be written in"):
        await store.try_out()


async def test_directory_that_cannot_be_read_is_a_transient_error(tmp_path: Path) -> None:
    """Looking for what may be deleted fails with the directory's name, and is tried again; the process goes on."""
    (tmp_path / "file").write_bytes(b"")
    store = FileArtefacts(tmp_path / "file", Late())
    with pytest.raises(TransientError, match="artefacts cannot be read in"):
        await store.owners(0)
    with pytest.raises(TransientError, match="artefacts cannot be read in"):
        await store.prune(OWNER, ())


async def test_trying_out_makes_the_directory_and_nothing_in_it(tmp_path: Path) -> None:
    """A directory that is not there yet is made, as the first model would make it; no file is left in it."""
    await FileArtefacts(tmp_path / "shared" / "artefacts", Late()).try_out()
    assert list((tmp_path / "shared" / "artefacts").iterdir()) == []


async def test_clear_deletes_checkpoints_and_leaves_models(store: FileArtefacts) -> None:
    """At the end of an execution its checkpoints go, its models stay; clearing twice is no error."""
    await store.workspace(OWNER, "a").keep("rows-0001.arrow", b"rows")
    reference = await store.publish(OWNER, "LGBM", FILES)
    await store.clear(OWNER)
    await store.clear(OWNER)
    assert await store.workspace(OWNER, "a").find("rows-0001.arrow") is None
    assert set(await store.find(reference, HASHES)) == set(FILES)


async def test_leftovers_are_listed_by_age_and_models_kept_by_reference(tmp_path: Path) -> None:
    """Only what nobody touched for a while is listed; of its models those that are referred to stay."""
    young, old = FileArtefacts(tmp_path, Late()), FileArtefacts(tmp_path, Late(hours=2))
    await young.workspace(OWNER, "a").keep("rows-0001.arrow", b"rows")
    kept = await young.publish(OWNER, "LGBM", FILES)
    unused = await young.publish(uuid(2), "LGBM", FILES)
    assert await young.owners(3600) == []
    assert await old.owners(3600) == [OWNER, uuid(2)]
    assert [await old.prune(owner, {kept}) for owner in (OWNER, uuid(2))] == [1, 1]
    assert set(await old.find(kept, HASHES)) == set(FILES)
    with pytest.raises(ArtefactError):
        await old.find(unused, HASHES)
    assert names(tmp_path / "models") == [OWNER]


async def test_what_cannot_be_deleted_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Maintenance goes on until nothing is deleted any more: what stays there must not keep it going for ever."""
    store = FileArtefacts(tmp_path, Late())
    await store.workspace(OWNER, "a").keep("rows-0001.arrow", b"rows")
    monkeypatch.setattr("consumer.artefacts.store.shutil.rmtree", lambda *_, **__: None)
    assert await store.prune(OWNER, set()) == 0


async def test_strange_owner_gets_a_directory_of_its_own(store: FileArtefacts, tmp_path: Path) -> None:
    """An id that is no UUID cannot lead out of the directory."""
    reference = await store.publish("../../etc", "LGBM", FILES)
    assert set(await store.find(reference, HASHES)) == set(FILES)
    assert names(tmp_path) == ["models"]
    with pytest.raises(ValueError, match="no name of an artefact"):
        await store.publish(OWNER, "../LGBM", FILES)


def test_only_plain_files_are_read(tmp_path: Path) -> None:
    """A pipe, a directory, a link or something enormous is refused without reading it."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "huge").touch()
    os.truncate(tmp_path / "huge", LARGEST + 1)
    for name in ("pipe", "link", "huge", ".", "nothing"):
        with pytest.raises(UnusableFileError):
            read_plain(tmp_path / name)
    (tmp_path / "file").write_bytes(b"x")
    assert read_verified(tmp_path / "file", digest(b"x")) == b"x"
