"""``--out``: a whole model, complete by one rename, sharing nothing with its source."""
from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from fastsm.commit import System, commit
from fastsm.errors import CommitError, RefusedError, UsageError
from fastsm.plan import Plan

from .crash import Counting, FailOn
from .edits import NEW, RETAGGED, make_model, move, moved, retag, set_attribute, stats, tree


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = make_model(tmp_path / "3")
    (folder / "keras_metadata.pb").write_bytes(b"what fastsm does not know")
    (folder / "assets.extra").mkdir()
    (folder / ".hidden").write_bytes(b"hidden")
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "4"


def test_a_whole_model_with_no_inode_of_the_old_one(folder: Path, out: Path) -> None:
    before, untouched = stats(folder), tree(folder)
    done = commit(retag(folder), out=str(out))
    assert (done.changed, done.path) == (True, str(out))
    assert tree(out) == {**untouched, **RETAGGED}
    assert (out / "assets.extra").is_dir()
    inodes = {p.stat().st_ino for p in folder.rglob("*")}
    assert not inodes & {p.stat().st_ino for p in out.rglob("*")}
    after = stats(folder)
    del before[folder.parent], after[folder.parent]
    assert after == before
    assert sorted(os.listdir(folder.parent)) == ["3", "4"]


def test_a_move(folder: Path, out: Path) -> None:
    before = tree(folder)
    commit(move(folder), out=str(out))
    assert tree(out) == moved(before)
    assert tree(folder) == before


def test_an_empty_folder_is_filled(folder: Path, out: Path) -> None:
    before = tree(folder)
    out.mkdir()
    commit(retag(folder), out=str(out))
    assert tree(out) == {**before, **RETAGGED}


def test_a_plan_without_changes_still_makes_the_copy(folder: Path, out: Path) -> None:
    done = commit(Plan(str(folder)), out=str(out))
    assert not done.changed
    assert tree(out) == tree(folder)


def test_what_is_staged_is_never_a_number(folder: Path, out: Path) -> None:
    class Looks(System):
        def names_there(self) -> list[str]:
            return [n for n in os.listdir(folder.parent) if n != "3"]

        def write(self, fd: int, data: bytes | memoryview) -> int:
            assert all(name.startswith(".") for name in self.names_there())
            return super().write(fd, data)

    commit(retag(folder), out=str(out), system=Looks())
    assert out.exists()


def test_linked_on_demand(folder: Path, out: Path) -> None:
    commit(retag(folder), out=str(out), link=True)
    index = "variables/variables.index"
    assert (out / index).stat().st_ino == (folder / index).stat().st_ino
    name = "saved_model.pb"
    assert (out / name).stat().st_ino != (folder / name).stat().st_ino


def test_linked_files_on_another_file_system_are_copied(folder: Path, out: Path) -> None:
    before = tree(folder)
    system = FailOn("link", OSError(errno.EXDEV, "Invalid cross-device link"))
    commit(retag(folder), out=str(out), link=True, system=system)
    assert tree(out) == {**before, **RETAGGED}


def test_blocks_are_shared_where_that_can_be(folder: Path, out: Path) -> None:
    class Clones(Counting):
        def call(self, name: str, real: Any, arguments: tuple) -> Any:
            if name != "clone":
                return real()
            old, new = arguments
            return os.write(new, os.pread(old, 1 << 20, 0))

        def free(self, path: str) -> int:
            return len(NEW) + len(RETAGGED["fingerprint.pb"])  # enough for what is new

    before, system = tree(folder), Clones()
    commit(retag(folder), out=str(out), system=system)
    assert tree(out) == {**before, **RETAGGED}
    assert system.log.count("clone") == 5


def test_where_blocks_are_not_shared_that_is_tried_once(folder: Path, out: Path) -> None:
    system = FailOn("clone", OSError(errno.EOPNOTSUPP, "Operation not supported"))
    commit(retag(folder), out=str(out), system=system)
    assert system.log.count("clone") == 1


def test_space_for_the_copies(folder: Path, out: Path) -> None:
    class Small(System):
        def free(self, path: str) -> int:
            return 600

        def clone(self, from_fd: int, to_fd: int) -> None:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    with pytest.raises(CommitError, match=r"needs 9\d\d bytes free in .*, 600 bytes there"):
        commit(retag(folder), out=str(out), system=Small())
    assert os.listdir(folder.parent) == ["3"]


def test_modes_times_and_attributes_stay(folder: Path, out: Path) -> None:
    (folder / "assets").chmod(0o550)
    (folder / "assets" / "vocab.txt").chmod(0o440)
    folder.chmod(0o750)
    for path in (folder / "assets", folder / "assets" / "vocab.txt"):
        os.utime(path, ns=(10**18, 10**18 + 5))
    commit(retag(folder), out=str(out))
    assert stat.S_IMODE((out / "assets").stat().st_mode) == 0o550
    assert stat.S_IMODE((out / "assets" / "vocab.txt").stat().st_mode) == 0o440
    assert stat.S_IMODE(out.stat().st_mode) == 0o750
    for path in (out / "assets", out / "assets" / "vocab.txt"):
        assert path.stat().st_mtime_ns == 10**18 + 5
    set_attribute(folder / "assets" / "vocab.txt")
    commit(retag(folder), out=str(out) + "5")
    copy = Path(str(out) + "5") / "assets" / "vocab.txt"
    assert os.getxattr(copy, "user.origin") == b"the lab"


def test_leftovers_of_the_old_model_are_not_copied(folder: Path, out: Path) -> None:
    (folder / ".fastsm-stage.0").write_bytes(b"of a crash")
    commit(retag(folder), out=str(out))
    assert not (out / ".fastsm-stage.0").exists()


# --- links -------------------------------------------------------------------------------


def test_links_out_of_the_model_become_files(folder: Path, out: Path) -> None:
    blobs = folder.parent / "blobs"
    blobs.mkdir()
    for name in ("saved_model.pb", "assets/vocab.txt"):
        blob = blobs / name.replace("/", "-")
        (folder / name).rename(blob)
        (folder / name).symlink_to(blob)
    before = tree(folder)
    commit(retag(folder), out=str(out))
    assert tree(out) == {**before, **RETAGGED}
    assert not (out / "saved_model.pb").is_symlink()
    assert not (out / "assets" / "vocab.txt").is_symlink()


def test_links_inside_the_model_stay_inside_the_new_one(folder: Path, out: Path) -> None:
    assets = folder / "assets"
    (assets / "relative").symlink_to("vocab.txt")
    (assets / "absolute").symlink_to(folder / "saved_model.pb")
    (assets / "roundabout").symlink_to("../../3/assets/vocab.txt")
    (assets / "dangling").symlink_to("nowhere")
    (folder / "data").symlink_to("variables")
    commit(retag(folder), out=str(out))
    assets = out / "assets"
    assert os.readlink(assets / "relative") == "vocab.txt"
    assert os.readlink(assets / "absolute") == "../saved_model.pb"
    assert os.readlink(assets / "roundabout") == "vocab.txt"
    assert os.readlink(assets / "dangling") == "nowhere"
    assert os.readlink(out / "data") == "variables"
    assert (assets / "absolute").read_bytes() == NEW


def test_an_edited_file_behind_a_link_inside(folder: Path, out: Path) -> None:
    (folder / "saved_model.pb").rename(folder / "graph")
    (folder / "saved_model.pb").symlink_to("graph")
    commit(retag(folder), out=str(out))
    assert os.readlink(out / "saved_model.pb") == "graph"
    assert (out / "graph").read_bytes() == NEW


@pytest.mark.parametrize("target", ["/", "..", "../other"])
def test_a_folder_outside_is_not_copied(folder: Path, out: Path, target: str) -> None:
    (folder.parent / "other").mkdir()
    (folder / "assets" / "more").symlink_to(target if target == "/" else f"../{target}")
    with pytest.raises(RefusedError, match=r"assets/more is a link to .*, outside the model"):
        commit(retag(folder), out=str(out))
    assert not out.exists()


def test_pipes_are_refused(folder: Path, out: Path) -> None:
    os.mkfifo(folder / "assets" / "pipe")
    for dry_run in (True, False):
        with pytest.raises(RefusedError, match="assets/pipe is a pipe"):
            commit(retag(folder), out=str(out), dry_run=dry_run)


# --- destinations ------------------------------------------------------------------------


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("3", "lies inside the model"),
        ("3/new", "lies inside the model"),
        ("link", "lies inside the model"),
        ("link/new", "lies inside the model"),
        ("other", "is not empty: it has file"),
        ("other/file", "is a file"),
        ("none/new", "no folder"),
        ("other/file/new", "no folder"),
    ],
)
@pytest.mark.parametrize("option", ["out", "backup"])
def test_destinations_that_will_not_do(
    folder: Path, where: str, message: str, option: str, dry_run: bool
) -> None:
    (folder.parent / "other").mkdir()
    (folder.parent / "other" / "file").touch()
    (folder.parent / "link").symlink_to("3")
    before = stats(folder)
    with pytest.raises(RefusedError, match=message):
        commit(retag(folder), dry_run=dry_run, **{option: str(folder.parent / where)})
    assert stats(folder) == before


def test_a_model_with_a_name_that_begins_like_the_destination(folder: Path) -> None:
    commit(retag(folder), out=str(folder) + "0")
    assert (folder.parent / "30" / "saved_model.pb").read_bytes() == NEW


def test_a_relative_destination(
    folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    assert commit(retag(Path("3")), out="4").path == "4"
    assert (out / "saved_model.pb").read_bytes() == NEW


def test_a_backup_of_what_stays_is_a_mistake(folder: Path, out: Path) -> None:
    with pytest.raises(UsageError):
        commit(retag(folder), out=str(out), backup=str(out) + "b")


def test_two_copies_at_once_may_read_one_model(folder: Path, out: Path) -> None:
    def check(name: str, staged: object) -> None:
        if not inner:
            inner.append(commit(retag(folder), out=str(out) + "5"))

    inner: list[object] = []
    commit(retag(folder), out=str(out), check=check)
    assert tree(out) == tree(Path(str(out) + "5"))


def test_an_edit_in_place_waits_for_a_copy(folder: Path, out: Path) -> None:
    def check(name: str, staged: object) -> None:
        commit(retag(folder))

    with pytest.raises(CommitError, match="another fastsm is at work"):
        commit(retag(folder), out=str(out), check=check)


def test_a_file_that_changes_while_it_is_copied(folder: Path, out: Path) -> None:
    class Busy(System):
        def create(self, path: str, mode: int) -> int:
            if path.endswith("vocab.txt"):
                (folder / "assets" / "vocab.txt").write_bytes(b"changed")
            return super().create(path, mode)

        def clone(self, from_fd: int, to_fd: int) -> None:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    with pytest.raises((RefusedError, CommitError), match="chang"):
        commit(retag(folder), out=str(out), system=Busy())
    assert not out.exists()
