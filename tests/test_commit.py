"""The commit in place: what is on the disk after it, what it keeps and what it refuses."""
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
from fastsm.plan import Deferred, Plan, Rewrite
from fastsm.source import File, Source, from_bytes

from .crash import Counting, FailOn

OLD = b"an old graph, and then " + b"." * 500
NEW = b"a new graph, and then " + b"." * 500


def make_model(folder: Path) -> Path:
    """The files of a model; their bytes do not matter here."""
    (folder / "variables").mkdir(parents=True)
    (folder / "assets").mkdir()
    (folder / "saved_model.pb").write_bytes(OLD)
    (folder / "fingerprint.pb").write_bytes(b"old fingerprint")
    (folder / "variables" / "variables.index").write_bytes(b"index")
    (folder / "variables" / "variables.data-00000-of-00001").write_bytes(b"data" * 100)
    (folder / "assets" / "vocab.txt").write_bytes(b"a b c")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_model(tmp_path / "model")


def read(plan: Plan, name: str) -> Source:
    file = File(os.path.join(plan.folder, name))
    plan.read(name, file)
    return file.source()


def retag(path: Path, *, fingerprint: bytes | None = b"new fingerprint") -> Plan:
    """A plan as retag makes it: a few bytes of one file, and the fingerprint's."""
    plan = Plan(str(path), verb="retag", arguments={"old": ["serve"], "new": ["gpu"]})
    rewrite = Rewrite(read(plan, "saved_model.pb"))
    rewrite.replace(0, 6, b"a new")
    plan.write("saved_model.pb", rewrite.source())
    if (path / "fingerprint.pb").exists():
        read(plan, "fingerprint.pb")
        plan.write("fingerprint.pb", Deferred(lambda: (fingerprint, None)))
    return plan


def move(path: Path) -> Plan:
    """A plan that touches several files: one changes its name, and the graph names it."""
    plan = retag(path)
    plan.write("assets/words.txt", read(plan, "assets/vocab.txt"))
    plan.remove("assets/vocab.txt")
    return plan


def tree(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def stats(path: Path) -> dict[Path, os.stat_result]:
    """Everything that an edit could disturb, access times apart."""
    return {
        p: os.stat_result(st[:7] + (0,) + st[8:])
        for p in [path.parent, path, *path.rglob("*")]
        for st in [p.lstat()]
    }


RETAGGED = {"saved_model.pb": NEW, "fingerprint.pb": b"new fingerprint"}


def moved(before: dict[str, bytes]) -> dict[str, bytes]:
    after = {**before, **RETAGGED, "assets/words.txt": b"a b c"}
    del after["assets/vocab.txt"]
    return after


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
    plan.write("fingerprint.pb", Deferred(lambda: (None, "no fingerprint: too odd")))
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
    plan.write("fingerprint.pb", Deferred(lambda: (b"old fingerprint", None)))
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
        plan.write("fingerprint.pb", Deferred(lambda i=i: (b"%d" % i, None)))
        if i % 10 == 0:
            plan.write("assets/vocab.txt", from_bytes(b"%d" % i))
        commit(plan, sync=False)
    assert sorted(p.relative_to(folder) for p in folder.rglob("*")) == names
    assert os.listdir(folder.parent) == ["model"]
    assert (folder / "saved_model.pb").stat().st_size == 501


def test_a_failed_deferred_leaves_the_old_model(folder: Path) -> None:
    def fails() -> tuple[bytes, None]:
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


def test_deferred_content_is_computed_beside_a_large_copy(folder: Path) -> None:
    import _thread

    os.truncate(folder / "saved_model.pb", 9 << 20)
    seen = []

    def content() -> tuple[bytes, None]:
        seen.append(_thread.get_ident())
        return b"new fingerprint", None

    plan = retag(folder)
    plan.write("fingerprint.pb", Deferred(content))
    commit(plan, sync=False)
    assert (folder / "fingerprint.pb").read_bytes() == b"new fingerprint"
    assert seen != [_thread.get_ident()]


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


def set_attribute(path: Path) -> None:
    try:
        os.setxattr(path, "user.origin", b"the lab")
    except (AttributeError, OSError):
        pytest.skip("no extended attributes here")


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


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EBUSY, errno.ENOSYS, errno.EINVAL])
@pytest.mark.parametrize("call", ["exchange", "link", "make_folder"])
def test_a_mount_point_is_refused_with_the_way_out(folder: Path, call: str, code: int) -> None:
    if (call, code) == ("link", errno.ENOSYS):
        pytest.skip("then files are copied")
    before = stats(folder)
    system = FailOn(call, OSError(code, os.strerror(code)))
    with pytest.raises(CommitError) as info:
        commit(move(folder), system=system)
    assert info.value.on_disk == "old"
    assert info.value.exit_code == 6
    assert "--out DIR" in str(info.value)
    after = stats(folder)
    del before[folder.parent], after[folder.parent]
    assert {p: st[:7] for p, st in after.items()} == {p: st[:7] for p, st in before.items()}
    assert os.listdir(folder.parent) == ["model"]


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


def test_an_old_folder_that_cannot_be_deleted_is_a_warning(folder: Path) -> None:
    system = FailOn("remove_folder", OSError(errno.EIO, "Input/output error"))
    done = commit(move(folder), system=system)
    assert tree(folder)["saved_model.pb"] == NEW
    assert len(done.warnings) == 1
    assert "could not be deleted (Input/output error)" in done.warnings[0]
    commit(retag(folder, fingerprint=b"x"))
    assert os.listdir(folder.parent) == ["model"]
