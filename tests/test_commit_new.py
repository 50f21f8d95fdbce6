"""A model that is made of files elsewhere: whole by one rename, or not there at all."""
from __future__ import annotations

import errno
import hashlib
import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from fastsm.commit import System, commit
from fastsm.errors import CommitError, RefusedError, UsageError
from fastsm.plan import Plan
from fastsm.source import File, Source

from .crash import CHANGING, Counting, FailOn
from .edits import MADE, SOURCES, make_new, make_sources, tree

SHARD = "variables/variables.data-00000-of-00001"
INDEX = "variables/variables.index"


@pytest.fixture
def train(tmp_path: Path) -> Path:
    return make_sources(tmp_path / "train")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "1"


def test_a_whole_model_that_shares_no_inode(train: Path, out: Path) -> None:
    done = commit(make_new(train), out=str(out))
    assert (done.changed, done.path) == (True, str(out))
    assert tree(out) == MADE
    assert {c.name: (c.before, c.after) for c in done.written} == {
        name: (None, len(data)) for name, data in MADE.items()
    }
    assert not any(p.is_symlink() for p in out.rglob("*"))
    assert not {p.stat().st_ino for p in train.iterdir()} & {
        p.stat().st_ino for p in out.rglob("*")
    }
    assert sorted(os.listdir(out.parent)) == ["1", "train"]


def test_folders_are_made_as_any_other_program_makes_them(train: Path, out: Path) -> None:
    umask = os.umask(0o027)
    try:
        commit(make_new(train), out=str(out))
    finally:
        os.umask(umask)
    folders = [out, *(p for p in out.rglob("*") if p.is_dir())]
    assert {p.stat().st_mode & 0o777 for p in folders} == {0o750}
    assert (out / "saved_model.pb").stat().st_mode & 0o777 == 0o640


def test_an_empty_folder_is_filled(train: Path, out: Path) -> None:
    out.mkdir()
    commit(make_new(train), out=str(out))
    assert tree(out) == MADE


def test_a_model_beside_what_it_is_made_of(train: Path) -> None:
    commit(make_new(train), out=str(train / "export"))
    assert tree(train / "export") == MADE
    assert {name: (train / name).read_bytes() for name in SOURCES} == SOURCES


def test_linked(train: Path, out: Path) -> None:
    (train / "moved").mkdir()
    for name in ("model.data-00000-of-00001", "model.index"):  # as caches of downloads do
        (train / name).rename(train / "moved" / name)
        (train / name).symlink_to(f"moved/{name}")
    commit(make_new(train), out=str(out), link=True)
    assert tree(out) == MADE
    for name, source in ((SHARD, "model.data-00000-of-00001"), (INDEX, "model.index")):
        assert not (out / name).is_symlink()
        assert (out / name).stat().st_ino == (train / "moved" / source).stat().st_ino
    assert (out / "assets/words.txt").stat().st_ino == (train / "vocab.txt").stat().st_ino


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM, errno.EMLINK])
def test_what_cannot_be_linked_is_copied(train: Path, out: Path, code: int) -> None:
    system = FailOn("link", OSError(code, os.strerror(code)))
    commit(make_new(train), out=str(out), link=True, system=system)
    assert system.seen == 3
    assert tree(out) == MADE
    assert {p.stat().st_nlink for p in out.rglob("*") if p.is_file()} == {1}


def test_what_is_staged_is_never_a_number(train: Path, out: Path) -> None:
    class Looks(System):
        def write(self, fd: int, data: bytes | memoryview) -> int:
            seen.append(sorted(os.listdir(out.parent)))
            return super().write(fd, data)

    seen: list[list[str]] = []
    commit(make_new(train), out=str(out), system=Looks())
    assert seen and all(names == [".1.fastsm-stage", "train"] for names in seen)


def test_a_receipt(train: Path, out: Path) -> None:
    receipt = train / "receipt.json"
    commit(make_new(train), out=str(out), receipt=str(receipt))
    said = json.loads(receipt.read_text())
    assert said["schema"] == "fastsm.receipt/1"
    assert (said["verb"], said["arguments"]) == ("convert", {"tags": ["serve"]})
    assert (said["path"], said["out"]) == (str(train / "model"), str(out))
    assert said["changed"] is True
    assert {f["path"]: (f["before"], f["after"]) for f in said["files"]} == {
        name: (None, {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()})
        for name, data in MADE.items()
    }


def test_the_same_again_gives_the_same_bytes(train: Path, out: Path) -> None:
    for n in "12":
        commit(make_new(train), out=str(out.parent / n), receipt=str(train / f"{n}.json"))
    one, two = (json.loads((train / f"{n}.json").read_text()) for n in "12")
    assert {**one, "out": two["out"]} == two
    assert tree(out.parent / "1") == tree(out.parent / "2")


@pytest.mark.parametrize("sync", [False, True])
def test_the_disk_is_waited_for(train: Path, out: Path, sync: bool) -> None:
    system = Counting()
    commit(make_new(train), out=str(out), sync=sync, system=system)
    # Four files, three folders, and the folder that they are in.
    assert system.log.count("sync") == (8 if sync else 0)


def test_progress_counts_what_is_copied(train: Path, out: Path) -> None:
    told: list[tuple[int, int]] = []
    commit(make_new(train), out=str(out), progress=lambda *done: told.append(done))
    total = sum(map(len, MADE.values()))
    assert told[-1] == (total, total)


def test_memory_does_not_follow_the_shard(train: Path, out: Path) -> None:
    """Neither where the kernel copies nor where it cannot, nor for a digest."""
    with open(train / "model.data-00000-of-00001", "r+b") as shard:
        shard.truncate(96 << 20)
    for n, system in enumerate((System(), FailOn("copy", OSError(errno.ENOSYS, "none")))):
        tracemalloc.start()
        try:
            commit(
                make_new(train), out=f"{out}{n}", sync=False, system=system,
                receipt=str(train / "receipt.json"),
            )  # fmt: skip
            assert tracemalloc.get_traced_memory()[1] < 4 << 20
        finally:
            tracemalloc.stop()
        assert os.path.getsize(f"{out}{n}/{SHARD}") == 96 << 20


# --- nothing is written -------------------------------------------------------------------


def test_a_dry_run_tells_what_it_would_write(train: Path, out: Path) -> None:
    system = Counting()
    done = commit(make_new(train), out=str(out), dry_run=True, system=system)
    assert {c.name: c.after for c in done.written} == {n: len(d) for n, d in MADE.items()}
    assert not CHANGING & set(system.log)
    assert not out.exists()


def test_a_dry_run_needs_no_folder(train: Path) -> None:
    done = commit(make_new(train), dry_run=True)
    assert {c.name: c.after for c in done.written} == {n: len(d) for n, d in MADE.items()}
    with pytest.raises(UsageError, match="a new model needs a folder: --out DIR"):
        commit(make_new(train))


@pytest.mark.parametrize(
    "options",
    [{"backup": "b"}, {"backup": "b", "out": "o"}, {"link": True}, {"out": ""}, {"receipt": ""}],
)
def test_options_that_make_no_sense(train: Path, options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        commit(make_new(train), **options)


def change(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")


def touch(path: Path) -> None:
    os.utime(path, ns=(1, 1))


def replace(path: Path) -> None:
    path.with_name("other").write_bytes(path.read_bytes())
    os.utime(path.with_name("other"), ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    path.with_name("other").rename(path)


def remove(path: Path) -> None:
    path.unlink()


CHANGES = [change, touch, replace, remove]


@pytest.mark.parametrize("act", CHANGES)
@pytest.mark.parametrize("name", [*SOURCES, "taken"])
@pytest.mark.parametrize("late", [False, True])
def test_what_changes_meanwhile_is_no_model(
    train: Path, out: Path, name: str, act: Callable[[Path], None], late: bool
) -> None:
    """Before anything is written, and while it is written."""
    (train / "taken").write_bytes(b"of which no byte is used as it is")
    plan = make_new(train)
    plan.take(File(str(train / "taken")))

    def check(staged_name: str, staged: object) -> None:
        if staged_name == "saved_model.pb":
            act(train / name)

    if not late:
        act(train / name)
    with pytest.raises((RefusedError, CommitError)) as info:
        commit(plan, out=str(out), check=check if late else None)
    if act is not remove:
        shown = "words.txt" if name == "vocab.txt" else name
        assert f"{shown} changed since it was opened" in str(info.value)
    assert sorted(os.listdir(out.parent)) == ["train"]


def test_a_dry_run_sees_that_too(train: Path, out: Path) -> None:
    for where in (None, str(out)):
        plan = make_new(train)
        change(train / "model.index")
        with pytest.raises(RefusedError, match=r"model\.index changed since it was opened"):
            commit(plan, out=where, dry_run=True)


def test_a_source_that_becomes_shorter_while_it_is_read(train: Path, out: Path) -> None:
    plan = make_new(train)

    class Busy(System):
        def write(self, fd: int, data: bytes | memoryview) -> int:
            os.truncate(train / "model.meta", 7)
            return super().write(fd, data)

    # Its head is in the first window, its end is asked for when that is read back.
    with pytest.raises(RefusedError, match="became shorter while it was read"):
        commit(plan, out=str(out), system=Busy())
    assert sorted(os.listdir(out.parent)) == ["train"]


def test_what_reads_back_differently_is_not_published(train: Path, out: Path) -> None:
    class Lies(System):
        def write(self, fd: int, data: bytes | memoryview) -> int:
            return super().write(fd, bytes(len(data)))

    with pytest.raises(CommitError, match="reads back differently from what was written") as info:
        commit(make_new(train), out=str(out), system=Lies())
    assert info.value.on_disk == "none"
    assert str(info.value).endswith("No model was written.")
    assert sorted(os.listdir(out.parent)) == ["train"]


def test_what_a_check_says_of_it_counts(train: Path, out: Path) -> None:
    def check(name: str, staged: Source) -> None:
        assert staged.read(0, staged.size) == MADE[name]
        raise RefusedError(name, "not this one")

    with pytest.raises(RefusedError, match="not this one"):
        commit(make_new(train), out=str(out), check=check)
    assert sorted(os.listdir(out.parent)) == ["train"]


@pytest.mark.parametrize("link", [False, True])
def test_space_is_looked_for_first(train: Path, out: Path, link: bool) -> None:
    """Linked files need none."""
    need = len(MADE["saved_model.pb"]) if link else sum(map(len, MADE.values()))

    class Small(Counting):
        def free(self, path: str) -> int:
            return room

    room = need - 1
    system = Small()
    with pytest.raises(CommitError, match=rf"needs {need} bytes free in .*, {room} bytes there"):
        commit(make_new(train), out=str(out), link=link, system=system)
    assert not CHANGING & set(system.log)
    room = need
    commit(make_new(train), out=str(out), link=link, system=Small())
    assert tree(out) == MADE


def test_two_at_once_into_one_folder(train: Path, out: Path) -> None:
    def check(name: str, staged: object) -> None:
        with pytest.raises(CommitError, match="another fastsm is at work on it"):
            commit(make_new(train), out=str(out))

    commit(make_new(train), out=str(out), check=check)
    assert tree(out) == MADE


def test_a_folder_that_appears_meanwhile_is_left_alone(train: Path, out: Path) -> None:
    def check(name: str, staged: object) -> None:
        out.mkdir(exist_ok=True)
        (out / "theirs").touch()

    with pytest.raises(CommitError, match="Directory not empty"):
        commit(make_new(train), out=str(out), check=check)
    assert os.listdir(out) == ["theirs"]
    assert sorted(os.listdir(out.parent)) == ["1", "train"]


# --- destinations -------------------------------------------------------------------------


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("train", "is not empty"),
        ("train/..", "is not empty"),
        ("train/model.meta", "is a file"),
        ("train/model.meta/1", "no folder"),
        ("none/1", "no folder"),
        ("link", "is not empty"),
    ],
)
def test_folders_that_will_not_do(
    train: Path, where: str, message: str, dry_run: bool
) -> None:
    (train.parent / "link").symlink_to("train")
    with pytest.raises(RefusedError, match=message):
        commit(make_new(train), out=str(train.parent / where), dry_run=dry_run)
    assert sorted(os.listdir(train.parent)) == ["link", "train"]


def test_what_lies_in_a_staged_folder_is_not_cleared_away(train: Path, out: Path) -> None:
    """The folder that a crash leaves is cleared, but not when the model is made of it."""
    train.rename(stage := out.parent / ".1.fastsm-stage")
    with pytest.raises(RefusedError, match=r"is staged in .*1\.fastsm-stage, where .* lies"):
        commit(make_new(stage), out=str(out))
    assert {name: (stage / name).read_bytes() for name in SOURCES} == SOURCES
    commit(make_new(stage), out=str(out.parent / "2"))
    assert tree(out.parent / "2") == MADE


@pytest.mark.parametrize("name", [*SOURCES, "words.txt", "taken"])
def test_a_receipt_in_the_place_of_a_source(train: Path, out: Path, name: str) -> None:
    (train / "taken").write_bytes(b"text")
    plan = make_new(train)
    plan.take(File(str(train / "taken")))
    with pytest.raises(RefusedError, match="is a file that the model is made from"):
        commit(plan, out=str(out), receipt=str(train / name))
    assert {name: (train / name).read_bytes() for name in SOURCES} == SOURCES
    assert not out.exists()


def test_a_plan_of_nothing_makes_an_empty_folder_only_where_it_is_told(out: Path) -> None:
    commit(Plan("nothing", new=True), dry_run=True)
    assert not out.exists()
