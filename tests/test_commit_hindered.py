"""The commit where somebody else is at work, or where it cannot be done: what it says then."""
from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastsm.commit import System, commit
from fastsm.errors import CommitError, RefusedError
from fastsm.source import Source, from_bytes

from .crash import Counting, FailOn
from .edits import NEW, RETAGGED, make_model, move, moved, retag, stats, tree


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_model(tmp_path / "model")


# --- who else is there -------------------------------------------------------------------


@pytest.mark.parametrize("make", [retag, move])
@pytest.mark.parametrize("name", ["saved_model.pb", "fingerprint.pb"])
def test_a_model_that_changed_since_it_was_opened(folder: Path, name: str, make: Any) -> None:
    plan = make(folder)
    (folder / name).write_bytes(b"somebody else's")
    before = tree(folder)
    for dry_run in (True, False):
        with pytest.raises(RefusedError, match=f"{name} changed since it was opened"):
            commit(plan, dry_run=dry_run)
    assert tree(folder) == before


def test_a_file_that_went_away_since(folder: Path) -> None:
    plan = retag(folder)
    (folder / "fingerprint.pb").unlink()
    with pytest.raises(RefusedError, match="changed since it was opened"):
        commit(plan)


def test_a_model_that_changes_while_its_edit_is_staged(folder: Path) -> None:
    def check(name: str, staged: Source) -> None:
        (folder / "saved_model.pb").write_bytes(b"somebody else's")

    with pytest.raises(RefusedError, match="changed since it was opened"):
        commit(retag(folder), check=check)
    assert tree(folder)["saved_model.pb"] == b"somebody else's"


def test_another_folder_in_the_models_place(folder: Path) -> None:
    plan = retag(folder)
    folder.rename(folder.parent / "moved")
    shutil.copytree(folder.parent / "moved", folder)
    with pytest.raises(RefusedError, match="another folder"):
        commit(plan)


HOLDER = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
fcntl.flock(fd, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other_writer(folder: Path) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield
        assert process.stdin is not None
        process.stdin.close()


@pytest.mark.usefixtures("other_writer")
@pytest.mark.parametrize("make", [retag, move])
def test_a_second_writer_is_refused(folder: Path, make: Any) -> None:
    before = stats(folder)
    with pytest.raises(CommitError, match="another fastsm is at work") as info:
        commit(make(folder))
    assert info.value.on_disk == "old"
    assert stats(folder) == before


def test_a_folder_that_another_writer_stages_is_not_cleared(folder: Path) -> None:
    staged = folder.parent / ".model.fastsm-stage"
    staged.mkdir()
    (staged / "file").touch()
    fd = os.open(staged, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    with pytest.raises(CommitError, match="another fastsm is at work"):
        commit(move(folder))
    assert (staged / "file").exists()
    os.close(fd)
    commit(move(folder))
    assert not staged.exists()


def test_a_link_with_the_name_of_a_staged_folder_is_not_followed(folder: Path) -> None:
    other = folder.parent / "other"
    other.mkdir()
    (other / "precious").touch()
    (folder.parent / ".model.fastsm-stage").symlink_to("other")
    with pytest.raises(CommitError):
        commit(move(folder))
    assert (other / "precious").exists()


def test_where_there_are_no_locks_it_goes_on_and_says_so(folder: Path) -> None:
    system = FailOn("lock", OSError(errno.EBADF, "Bad file descriptor"))
    done = commit(retag(folder), system=system)
    assert done.warnings == ["no locks here: let nobody else edit the model meanwhile"]
    assert tree(folder)["saved_model.pb"] == NEW


def test_the_lock_is_given_back(folder: Path) -> None:
    commit(retag(folder))
    fd = os.open(folder, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(fd)


# --- where it cannot be done -------------------------------------------------------------


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A model that belongs to nobody in particular, whom the test is for the time."""
    with tempfile.TemporaryDirectory() as root:
        parent = Path(root) / "parent"
        folder = make_model(parent / "model")
        if os.geteuid() != 0:
            yield folder
        else:
            Path(root).chmod(0o755)
            for path in [Path(root), *Path(root).rglob("*")]:
                os.chown(path, 65534, 65534)
            os.seteuid(65534)
            try:
                yield folder
            finally:
                os.seteuid(0)
        parent.chmod(0o755)
        folder.chmod(0o755)


def test_a_folder_that_may_not_be_written(unprivileged: Path) -> None:
    before = tree(unprivileged)
    unprivileged.chmod(0o555)
    with pytest.raises(CommitError, match="Permission denied") as info:
        commit(retag(unprivileged))
    assert info.value.on_disk == "old"
    assert "--out DIR" in str(info.value)
    assert tree(unprivileged) == before


def test_a_file_that_may_not_be_written_is_replaced(unprivileged: Path) -> None:
    (unprivileged / "saved_model.pb").chmod(0o444)
    commit(retag(unprivileged))
    assert (unprivileged / "saved_model.pb").read_bytes() == NEW
    assert stat.S_IMODE((unprivileged / "saved_model.pb").stat().st_mode) == 0o444


def test_a_parent_that_may_not_be_written(unprivileged: Path) -> None:
    before = tree(unprivileged)
    unprivileged.parent.chmod(0o555)
    with pytest.raises(CommitError, match="Permission denied") as info:
        commit(move(unprivileged))
    assert "--out DIR" in str(info.value)
    assert tree(unprivileged) == before
    commit(retag(unprivileged))  # that shape needs no parent


def test_folders_that_may_not_be_written_are_exchanged_and_deleted(unprivileged: Path) -> None:
    before = tree(unprivileged)
    (unprivileged / "assets").chmod(0o555)
    (unprivileged / "variables").chmod(0o555)
    commit(move(unprivileged))
    assert tree(unprivileged) == moved(before)
    assert os.listdir(unprivileged.parent) == ["model"]
    assert stat.S_IMODE((unprivileged / "assets").stat().st_mode) == 0o555
    (unprivileged / "assets").chmod(0o755)
    (unprivileged / "variables").chmod(0o755)


@pytest.mark.parametrize(
    ("call", "code", "words"),
    [
        ("exchange", errno.EXDEV, "its folder is a mount point"),
        ("exchange", errno.EBUSY, "its folder is a mount point"),
        ("exchange", errno.ENOSYS, "this file system cannot exchange two folders"),
        ("exchange", errno.EINVAL, "this file system cannot exchange two folders"),
        ("link", errno.EXDEV, "its folder is a mount point"),
        ("make_folder", errno.EROFS, "Read-only file system"),
    ],
)
def test_a_folder_that_cannot_be_exchanged(
    folder: Path, call: str, code: int, words: str
) -> None:
    before = stats(folder)
    system = FailOn(call, OSError(code, os.strerror(code)))
    with pytest.raises(CommitError, match=words) as info:
        commit(move(folder), system=system)
    assert info.value.on_disk == "old"
    assert info.value.exit_code == 6
    assert "--out DIR" in str(info.value)
    after = stats(folder)
    del before[folder.parent], after[folder.parent]
    assert {p: st[:7] for p, st in after.items()} == {p: st[:7] for p, st in before.items()}
    assert os.listdir(folder.parent) == ["model"]


@pytest.mark.parametrize(
    ("elsewhere", "words"),
    [("..", "its folder is a mount point"), ("assets", "assets is a mount point")],
)
def test_a_mount_point_is_found_before_a_byte_is_written(
    folder: Path, elsewhere: str, words: str
) -> None:
    class Mounted(Counting):
        def call(self, name: str, real: Any, arguments: tuple) -> Any:
            st = real()
            if name in ("stat", "lstat") and arguments[0] == os.path.normpath(folder / elsewhere):
                return os.stat_result((*st[:2], st.st_dev + 1, *st[3:]))
            return st

    before = stats(folder)
    for dry_run in (True, False):
        with pytest.raises(CommitError, match=words):
            commit(move(folder), system=Mounted(), dry_run=dry_run)
    assert stats(folder) == before


@pytest.mark.parametrize("code", [errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP])
def test_without_hard_links_files_are_copied(folder: Path, code: int) -> None:
    (folder / "assets" / "link").symlink_to("vocab.txt")
    before = tree(folder)
    system = FailOn("link", OSError(code, os.strerror(code)))
    plan = retag(folder)
    plan.write("assets/more.txt", from_bytes(b"more"))
    commit(plan, system=system)
    assert tree(folder) == {**before, **RETAGGED, "assets/more.txt": b"more"}
    assert os.readlink(folder / "assets" / "link") == "vocab.txt"


class Small(System):
    def free(self, path: str) -> int:
        return 40


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("make", [retag, move])
def test_space_is_looked_for_first(folder: Path, make: Any, dry_run: bool) -> None:
    before = stats(folder)
    with pytest.raises(CommitError) as info:
        commit(make(folder), system=Small(), dry_run=dry_run)
    where = folder if make is retag else folder.parent
    assert str(info.value).splitlines()[0] == (
        f"{folder}: needs 522 bytes free in {where}, 40 bytes there. "
        "The model on disk is the old one."
    )
    assert stats(folder) == before


@pytest.mark.parametrize("call", ["write", "allocate", "create", "sync"])
@pytest.mark.parametrize("make", [retag, move])
def test_a_full_disk(folder: Path, make: Any, call: str) -> None:
    os.truncate(folder / "saved_model.pb", 2 << 20)
    before = tree(folder)
    system = FailOn(call, OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(CommitError, match="No space left on device") as info:
        commit(make(folder), system=system)
    assert info.value.on_disk == "old"
    assert tree(folder) == before
    assert os.listdir(folder.parent) == ["model"]


@pytest.mark.parametrize(("sync", "refused"), [(True, False), (True, True), (False, False)])
def test_the_disk_begins_while_the_rest_is_copied(
    folder: Path, monkeypatch: pytest.MonkeyPatch, sync: bool, refused: bool
) -> None:
    class Begins(System):
        def begin_sync(self, fd: int, offset: int, n: int) -> None:
            begun.append((offset, offset + n))
            if refused:
                raise OSError(errno.ENOSYS, "no sync_file_range")

    begun: list[tuple[int, int]] = []
    monkeypatch.setattr("fastsm.commit.write._STRIDE", 1 << 20)
    os.truncate(folder / "saved_model.pb", 5 << 20)
    assert commit(retag(folder), system=Begins(), sync=sync).changed
    assert len(begun) == (4 if sync else 0)
    assert [start for start, _ in begun] == [0, *(end for _, end in begun)][: len(begun)]


def test_an_old_folder_that_cannot_be_deleted_is_a_warning(folder: Path) -> None:
    system = FailOn("remove_folder", OSError(errno.EIO, "Input/output error"))
    done = commit(move(folder), system=system)
    assert tree(folder)["saved_model.pb"] == NEW
    assert len(done.warnings) == 1
    assert "could not be deleted (Input/output error)" in done.warnings[0]
    commit(retag(folder, fingerprint=b"x"))
    assert os.listdir(folder.parent) == ["model"]
