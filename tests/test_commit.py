"""The commit in place: what is on the disk after it, what it keeps and what it refuses."""
from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from fastsm.commit import System, commit
from fastsm.errors import CommitError, RefusedError
from fastsm.plan import Deferred, Plan, Rewrite
from fastsm.source import Source, from_bytes

from .crash import Counting
from .edits import (
    NEW,
    OLD,
    RETAGGED,
    make_model,
    move,
    moved,
    read,
    retag,
    set_attribute,
    stats,
    tree,
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_model(tmp_path / "model")


# --- what is there afterwards ------------------------------------------------------------


def test_saved_model_and_fingerprint_are_replaced(folder: Path) -> None:
    before = tree(folder)
    done = commit(retag(folder))
    assert (done.changed, done.path, done.warnings) == (True, str(folder), [])
    assert [c.name for c in done.written] == ["fingerprint.pb", "saved_model.pb"]
    assert [(c.before, c.after) for c in done.written] == [(15, 15), (len(OLD), len(NEW))]
    assert tree(folder) == {**before, **RETAGGED}


def test_a_whole_folder_is_exchanged(folder: Path) -> None:
    before, inode = tree(folder), folder.stat().st_ino
    index = (folder / "variables" / "variables.index").stat()
    done = commit(move(folder))
    assert [c.name for c in done.written] == [
        "assets/vocab.txt", "assets/words.txt", "fingerprint.pb", "saved_model.pb",
    ]  # fmt: skip
    assert tree(folder) == moved(before)
    assert folder.stat().st_ino != inode
    assert os.listdir(folder.parent) == ["model"]
    same = (folder / "variables" / "variables.index").stat()
    assert (same.st_ino, same.st_nlink, same.st_mtime_ns) == (
        index.st_ino, 1, index.st_mtime_ns,
    )  # fmt: skip


def test_a_file_that_changes_its_name_is_not_copied(folder: Path) -> None:
    before = (folder / "assets" / "vocab.txt").stat()
    commit(move(folder))
    after = (folder / "assets" / "words.txt").stat()
    assert (after.st_ino, after.st_nlink) == (before.st_ino, 1)


def test_a_file_that_is_doubled_is_copied(folder: Path) -> None:
    plan = retag(folder)
    plan.write("assets/words.txt", read(plan, "assets/vocab.txt"))
    commit(plan)
    assert (folder / "assets" / "words.txt").read_bytes() == b"a b c"
    assert (folder / "assets" / "vocab.txt").stat().st_nlink == 1


def test_new_files_in_new_folders(folder: Path) -> None:
    plan = Plan(str(folder))
    plan.write("assets.extra/deep/er/note.txt", from_bytes(b"note"))
    plan.write("assets.extra/empty", from_bytes(b""))
    commit(plan)
    assert (folder / "assets.extra" / "deep" / "er" / "note.txt").read_bytes() == b"note"
    assert (folder / "assets.extra" / "empty").read_bytes() == b""


def test_a_file_alone(folder: Path) -> None:
    before = tree(folder)
    plan = Plan(str(folder))
    plan.write("variables/variables.index", from_bytes(b"other"))
    commit(plan)
    assert tree(folder) == {**before, "variables/variables.index": b"other"}
    plan = Plan(str(folder))
    plan.remove("fingerprint.pb")
    commit(plan)
    assert not (folder / "fingerprint.pb").exists()


def test_a_fingerprint_that_cannot_be_computed_goes(folder: Path) -> None:
    plan = retag(folder)
    plan.write("fingerprint.pb", Deferred(lambda _: (None, "no fingerprint: too odd")))
    done = commit(plan)
    assert done.warnings == ["no fingerprint: too odd"]
    assert [(c.name, c.after) for c in done.written] == [
        ("fingerprint.pb", None), ("saved_model.pb", len(NEW)),
    ]  # fmt: skip
    assert tree(folder)["saved_model.pb"] == NEW
    assert not (folder / "fingerprint.pb").exists()


@pytest.mark.parametrize("make", [retag, move])
def test_a_fingerprint_that_comes_out_the_same_is_not_touched(folder: Path, make: Any) -> None:
    before = (folder / "fingerprint.pb").stat()
    plan = make(folder)
    plan.write("fingerprint.pb", Deferred(lambda _: (b"old fingerprint", None)))
    done = commit(plan)
    assert "fingerprint.pb" not in [c.name for c in done.written]
    after = (folder / "fingerprint.pb").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_hundred_edits_leave_nothing_behind(folder: Path) -> None:
    names = sorted(p.relative_to(folder) for p in folder.rglob("*"))
    for i in range(100):
        plan = Plan(str(folder))
        source = read(plan, "saved_model.pb")
        rewrite = Rewrite(source)
        rewrite.replace(0, source.size - 500, b"x" * (i % 3 + 1))
        plan.write("saved_model.pb", rewrite.source())
        read(plan, "fingerprint.pb")
        plan.write("fingerprint.pb", Deferred(lambda _, i=i: (b"%d" % i, None)))
        if i % 10 == 0:
            plan.write("assets/vocab.txt", from_bytes(b"%d" % i))
        commit(plan, sync=False)
    assert sorted(p.relative_to(folder) for p in folder.rglob("*")) == names
    assert os.listdir(folder.parent) == ["model"]
    assert (folder / "saved_model.pb").stat().st_size == 501


def test_a_failed_deferred_leaves_the_old_model(folder: Path) -> None:
    def fails(_: object) -> tuple[bytes, None]:
        raise ZeroDivisionError("a bug in a hash")

    before = tree(folder)
    plan = retag(folder)
    plan.write("fingerprint.pb", Deferred(fails))
    with pytest.raises(ZeroDivisionError) as info:
        commit(plan)
    assert info.value.on_disk == "old"  # type: ignore[attr-defined]
    assert tree(folder) == before


# --- nothing to do, nothing done ---------------------------------------------------------


def test_an_empty_plan_writes_nothing(folder: Path) -> None:
    before = stats(folder)
    done = commit(Plan(str(folder)))
    assert not done.changed
    assert stats(folder) == before


@pytest.mark.parametrize("make", [retag, move])
def test_a_dry_run_writes_nothing(folder: Path, make: Any) -> None:
    before = stats(folder)
    dry = commit(make(folder), dry_run=True)
    assert stats(folder) == before
    wet = commit(make(folder))
    assert repr(dry) == repr(wet)


def test_without_sync_nothing_is_waited_for(folder: Path) -> None:
    system = Counting()
    commit(retag(folder), sync=False, system=system)
    commit(move(folder), sync=False, system=system)
    assert "sync" not in system.log
    commit(Plan(str(folder)), system=system)


# --- large files -------------------------------------------------------------------------


class NoCopy(System):
    def copy(self, from_fd: int, to_fd: int, n: int, offset: int) -> int:
        raise OSError(errno.EXDEV, "Invalid cross-device link")


class ShortCopy(System):
    """Copies a part, then says that this is all."""

    def __init__(self) -> None:
        self.n = 0

    def copy(self, from_fd: int, to_fd: int, n: int, offset: int) -> int:
        self.n += 1
        return super().copy(from_fd, to_fd, min(n, 4096 * 3), offset) if self.n % 4 else 0


class ShortWrite(System):
    def write(self, fd: int, data: bytes | memoryview) -> int:
        return super().write(fd, data[: max(1, len(data) // 3)])


@pytest.mark.parametrize("system", [System(), NoCopy(), ShortCopy(), ShortWrite()])
@pytest.mark.parametrize("shift", [b"", b"12345", b"p" * 4096])
def test_long_runs(folder: Path, system: System, shift: bytes) -> None:
    data = os.urandom(5 << 20)
    (folder / "saved_model.pb").write_bytes(data)
    plan = Plan(str(folder))
    rewrite = Rewrite(read(plan, "saved_model.pb"))
    rewrite.replace(0, 0, shift)
    rewrite.replace(2 << 20, (2 << 20) + 7, b"the edit")
    rewrite.replace(len(data), len(data), b"the end")
    plan.write("saved_model.pb", rewrite.source())
    seen: list[tuple[int, int]] = []
    commit(plan, sync=False, system=system, progress=lambda done, n: seen.append((done, n)))
    want = shift + data[: 2 << 20] + b"the edit" + data[(2 << 20) + 7 :] + b"the end"
    assert (folder / "saved_model.pb").read_bytes() == want
    assert seen[-1] == (len(want), len(want))
    assert seen == sorted(seen)


def test_a_python_without_copy_file_range(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "copy_file_range", raising=False)
    test_long_runs(folder, System(), b"")


# --- what is staged is looked at ---------------------------------------------------------


class Flips(System):
    """Writes one byte other than it was told."""

    def write(self, fd: int, data: bytes | memoryview) -> int:
        wrong = bytearray(data)
        wrong[-1] ^= 1
        return super().write(fd, bytes(wrong))


@pytest.mark.parametrize("make", [retag, move])
def test_what_reads_back_differently_is_not_published(folder: Path, make: Any) -> None:
    before = tree(folder)
    with pytest.raises(CommitError, match="reads back differently") as info:
        commit(make(folder), system=Flips())
    assert info.value.on_disk == "old"
    assert tree(folder) == before
    assert os.listdir(folder.parent) == ["model"]


@pytest.mark.parametrize("make", [retag, move])
def test_the_callers_check_sees_each_written_file(folder: Path, make: Any) -> None:
    seen = {}
    commit(make(folder), check=lambda name, s: seen.update({name: s.read(0, s.size)}))
    assert seen == RETAGGED


def test_what_the_caller_does_not_like_is_not_published(folder: Path) -> None:
    def check(name: str, staged: Source) -> None:
        raise RefusedError(name, "not what was meant")

    before = tree(folder)
    with pytest.raises(RefusedError, match="not what was meant"):
        commit(retag(folder), check=check)
    assert tree(folder) == before


# --- modes, owners, attributes -----------------------------------------------------------


@pytest.mark.parametrize("make", [retag, move])
@pytest.mark.parametrize("mode", [0o644, 0o600, 0o444, 0o755, 0o4750])
def test_modes_stay(folder: Path, make: Any, mode: int) -> None:
    (folder / "saved_model.pb").chmod(mode)
    (folder / "assets").chmod(0o750)
    folder.chmod(0o2711)
    commit(make(folder))
    assert stat.S_IMODE((folder / "saved_model.pb").stat().st_mode) == mode
    assert stat.S_IMODE((folder / "assets").stat().st_mode) == 0o750
    assert stat.S_IMODE(folder.stat().st_mode) == 0o2711


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("make", [retag, move])
def test_owners_stay(folder: Path, make: Any) -> None:
    for path in (folder, folder / "saved_model.pb", folder / "assets"):
        os.chown(path, 1234, 4321)
    commit(make(folder))
    for path in (folder, folder / "saved_model.pb", folder / "assets"):
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 4321)


def test_an_owner_that_cannot_be_given_is_left(folder: Path) -> None:
    class Mine(Counting):
        def call(self, name: str, real: Any, arguments: tuple) -> Any:
            if name == "chown":
                raise PermissionError(errno.EPERM, "Operation not permitted")
            return real()

        def stat(self, path: str) -> Any:
            st = list(os.stat(path))
            st[4] += 1  # somebody else's
            return os.stat_result(st)

    system = Mine()
    commit(_unread(folder), system=system)
    assert system.log.count("chown") == 2  # the owner, then the group alone


def _unread(folder: Path) -> Plan:
    plan = Plan(str(folder))
    plan.device, plan.inode = os.stat(folder).st_dev, os.stat(folder).st_ino
    plan.write("saved_model.pb", from_bytes(NEW))
    return plan


@pytest.mark.parametrize("make", [retag, move])
def test_extended_attributes_stay(folder: Path, make: Any) -> None:
    for path in (folder, folder / "saved_model.pb", folder / "assets"):
        set_attribute(path)
    (folder / "saved_model.pb").chmod(0o444)
    commit(make(folder))
    for path in (folder, folder / "saved_model.pb", folder / "assets"):
        assert os.getxattr(path, "user.origin") == b"the lab"


def test_folders_that_are_not_touched_keep_their_times(folder: Path) -> None:
    os.utime(folder / "variables", ns=(1, 2))
    commit(move(folder))
    assert (folder / "variables").stat().st_mtime_ns == 2


# --- links -------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [retag, move])
def test_a_linked_model_path_stays_a_link(folder: Path, make: Any) -> None:
    link = folder.parent / "latest"
    link.symlink_to("model")
    done = commit(make(link))
    assert done.path == str(link)
    assert os.readlink(link) == "model"
    assert (folder / "saved_model.pb").read_bytes() == NEW


@pytest.mark.parametrize("make", [retag, move])
def test_a_linked_file_inside_keeps_its_link(folder: Path, make: Any) -> None:
    (folder / "blobs").mkdir()
    (folder / "saved_model.pb").rename(folder / "blobs" / "123")
    (folder / "saved_model.pb").symlink_to("blobs/123")
    commit(make(folder))
    assert os.readlink(folder / "saved_model.pb") == "blobs/123"
    assert (folder / "blobs" / "123").read_bytes() == NEW
    assert not (folder / "blobs" / "123").is_symlink()


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("make", [retag, move])
def test_a_linked_file_outside_is_refused(folder: Path, make: Any, dry_run: bool) -> None:
    cache = folder.parent / "cache"
    (folder / "saved_model.pb").rename(cache)
    (folder / "saved_model.pb").symlink_to("../cache")
    before = stats(folder)
    with pytest.raises(RefusedError) as info:
        commit(make(folder), dry_run=dry_run)
    assert str(cache) in str(info.value)
    assert "--out" in str(info.value)
    assert stats(folder) == before


def test_a_folder_of_links_outside_is_refused(folder: Path) -> None:
    (folder / "assets").rename(folder.parent / "elsewhere")
    (folder / "assets").symlink_to("../elsewhere")
    with pytest.raises(RefusedError, match="outside the model"):
        commit(move(folder))


def test_links_that_do_not_change_stay_as_they_are(folder: Path) -> None:
    (folder.parent / "big").write_bytes(b"shared")
    (folder / "assets" / "big").symlink_to("../../big")
    (folder / "assets" / "nowhere").symlink_to("/does/not/exist")
    commit(move(folder))
    assert os.readlink(folder / "assets" / "big") == "../../big"
    assert os.readlink(folder / "assets" / "nowhere") == "/does/not/exist"


def test_a_link_that_is_removed_does_not_take_its_target(folder: Path) -> None:
    (folder.parent / "big").write_bytes(b"shared")
    (folder / "assets" / "big").symlink_to("../../big")
    plan = Plan(str(folder))
    plan.remove("assets/big")
    commit(plan)
    assert not (folder / "assets" / "big").is_symlink()
    assert (folder.parent / "big").read_bytes() == b"shared"


@pytest.mark.parametrize("make", [retag, move])
def test_other_names_of_a_file_keep_the_old_bytes(folder: Path, make: Any) -> None:
    os.link(folder / "saved_model.pb", folder.parent / "twin")
    commit(make(folder))
    assert (folder.parent / "twin").read_bytes() == OLD
    assert (folder / "saved_model.pb").read_bytes() == NEW


def test_pipes_are_carried_along(folder: Path) -> None:
    os.mkfifo(folder / "assets" / "pipe")
    commit(move(folder))
    assert stat.S_ISFIFO((folder / "assets" / "pipe").lstat().st_mode)


def test_a_pipe_in_place_of_a_file_is_refused(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    plan = Plan(str(folder))
    plan.write("pipe", from_bytes(b"x"))
    with pytest.raises(RefusedError, match="pipe is there, and is not a file"):
        commit(plan)


def test_names_that_are_not_text(folder: Path) -> None:
    name = os.fsdecode(b"assets/\xff\xfe.bin")
    (folder / name).write_bytes(b"odd")
    commit(move(folder))
    assert (folder / name).read_bytes() == b"odd"
