"""Edits of several files, cut short at each call of the system: by an error, by a disk that
stays broken, by a power cut. A reader finds the old model or the new one, `undo` the old bytes.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import fastsm
from fastsm import commit as door
from fastsm.commit import System
from fastsm.commit import undo as undoing

from .crash import CHANGING, Counting, FailAt, FailFrom, PowerCut, PowerCutError, build
from .oracle import ROOT
from .test_commit_crash import Tree, leftovers, tree
from .test_odd_checkpoints import Entry, make
from .test_repair import break_restarts
from .test_verify_model import asset, hand_made, meta_graph, node
from .wire import delimited, entry, integer

A, B = bytes(range(100)), bytes(range(100, 200))


def doubled(path: Path) -> None:
    """A model of two shards with tensors in both that are stored twice."""
    first = {b"a": Entry(A), b"c": Entry(B, offset=100)}
    make(path, {**first, b"b": Entry(A, 1), b"d": Entry(B, 1, 100)}, n_shards=2)


def broken(path: Path) -> None:
    """A model whose restart array is broken, and with a stray shard."""
    make(path, {b"a": Entry(A), b"b": Entry(B, offset=100)})
    break_restarts(path)
    (path / "variables" / "variables.data-00007-of-00009").write_bytes(b"left over")


def with_asset(path: Path) -> None:
    """A small model of one asset, with a fingerprint; in ``assets/old`` there is nothing else."""
    listed = meta_graph(asset("c:0", "old/words"), nodes=node("c", "Const"))
    (hand_made(path.parent, listed) / "assets" / "old").mkdir()
    (path.parent / "m").rename(path)
    (path / "assets" / "old" / "words").write_bytes(A)
    shutil.copy(ROOT / "examples" / "ranker" / "1" / "fingerprint.pb", path)


def of_two(path: Path) -> None:
    """Meta graphs {train} and {serve}; an asset and one of two variables are of {train} alone."""
    make(path, {b"a": Entry(A), b"b": Entry(B, offset=100)})
    variable = delimited(1, delimited(1, "a:0"), delimited(2, "a"), delimited(3, "a:0"))
    serve = meta_graph(entry(4, "variables", delimited(2, variable)), nodes=node("a", "Variable"))
    listed = asset("c:0", "words")
    train = delimited(2, delimited(1, delimited(4, "train")), listed)
    (path / "saved_model.pb").write_bytes(train + serve)
    (path / "assets").mkdir(exist_ok=True)
    (path / "assets" / "words").write_bytes(A)


def trained(path: Path) -> None:
    """A signature of one of two variables; the other, which has a shard of its own, an asset
    and what Keras and a debugger know are of training alone."""
    make(path, {b"a": Entry(A), b"b": Entry(B, 1)}, n_shards=2)
    named = [delimited(1, delimited(1, f"{v}:0"), delimited(2, v), delimited(3, v)) for v in "ab"]
    signature = entry(5, "s", entry(2, "out", delimited(1, "a:0")))
    nodes = node("a", "Variable") + node("b", "Variable") + node("c", "Const")
    graph = meta_graph(
        entry(4, "variables", delimited(2, *named)), signature, asset("c:0", "words"), nodes=nodes
    )
    (path / "saved_model.pb").write_bytes(integer(1, 1) + graph)
    for name in ("assets/words", "keras_metadata.pb", "debug/saved_model_debug_info.pb"):
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_bytes(b"" if name.endswith(".pb") else A)


def strip(path: Path, **options: object) -> None:
    result = fastsm.strip_training_graph(path, **options)
    assert {c.name for c in result.changes} == {
        "saved_model.pb", "fingerprint.pb", "keras_metadata.pb", "assets/words",
        "debug/saved_model_debug_info.pb", "variables/variables.index",
        "variables/variables.data-00000-of-00002", "variables/variables.data-00001-of-00002",
        "variables/variables.data-00000-of-00001",
    }  # fmt: skip


def remove_meta_graph(path: Path, **options: object) -> None:
    result = fastsm.remove_meta_graph(path, "train", **options)
    assert result.what.endswith("and 1 variable and 1 asset that nothing else needs")


def rename_asset(path: Path, **options: object) -> None:
    fastsm.rename_asset(path, "old/words", "new/text/words", **options)


def dedupe(path: Path, **options: object) -> None:
    fastsm.dedupe(path, **options)


def repair(path: Path, **options: object) -> None:
    fastsm.repair(path, only=["restart-array", "stray-shard"], **options)


class Edit:
    """An edit of ROOT/model, in place with a backup or into ROOT/out."""

    def __init__(
        self, prepare: Callable[[Path], None], verb: Callable[..., None], *, out: bool
    ) -> None:
        self.prepare = prepare
        self.verb = verb
        self.out = out

    def run(self, root: Path, system: System, monkeypatch: pytest.MonkeyPatch) -> None:
        how = {"out": root / "out"} if self.out else {
            "in_place": True, "backup": root / "backup", "receipt": root / "receipt.json",
        }  # fmt: skip
        with monkeypatch.context() as m:
            m.setattr(door, "System", lambda: system)
            self.verb(root / "model", **how)

    def result(self, root: Path) -> Tree | None:
        return tree(root / "out") if self.out else tree(root / "model")

    def again(self, root: Path) -> None:
        """The next edit goes through, and clears what was left behind."""
        for name in ("out", "backup"):
            shutil.rmtree(root / name, ignore_errors=True)
        if self.out:
            self.verb(root / "model", out=root / "out", sync=False)
        records = {"backup": root / "backup", "receipt": root / "receipt.json"}
        fastsm.retag(root / "model", "serve", "x", sync=False, **records)
        assert leftovers(root) == []


EDITS = {
    "dedupe": Edit(doubled, dedupe, out=False),
    "dedupe, out": Edit(doubled, dedupe, out=True),
    "remove a meta graph": Edit(of_two, remove_meta_graph, out=False),
    "remove a meta graph, out": Edit(of_two, remove_meta_graph, out=True),
    "rename an asset": Edit(with_asset, rename_asset, out=False),
    "rename an asset, out": Edit(with_asset, rename_asset, out=True),
    "repair": Edit(broken, repair, out=False),
    "repair, out": Edit(broken, repair, out=True),
    "strip": Edit(trained, strip, out=False),
    "strip, out": Edit(trained, strip, out=True),
}


@pytest.fixture(params=EDITS)
def edit(request: pytest.FixtureRequest) -> Edit:
    return EDITS[request.param]


@pytest.fixture(scope="module")
def scratch() -> Iterator[Path]:
    """A folder in memory where there is such a thing: these tests make thousands of models."""
    where = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=where, prefix="fastsm-test-") as folder:
        yield Path(folder)


class Fresh:
    """Makes a root with the model in it; knows what it is before and after the edit."""

    def __init__(self, scratch: Path, edit: Edit, monkeypatch: pytest.MonkeyPatch) -> None:
        self.scratch, self.edit = scratch, edit
        self.whole = Counting()
        root = self()
        self.model, self.old = tree(root / "model"), edit.result(root)
        edit.run(root, self.whole, monkeypatch)
        self.new = edit.result(root)
        assert self.new != self.old

    def __call__(self) -> Path:
        root = self.scratch / "root"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        self.edit.prepare(root / "model")
        return root

    def without_fingerprint(self, model: Tree | None) -> Tree:
        return {name: data for name, data in (model or {}).items() if name != "fingerprint.pb"}


@pytest.fixture
def fresh(scratch: Path, edit: Edit, monkeypatch: pytest.MonkeyPatch) -> Fresh:
    return Fresh(scratch, edit, monkeypatch)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_an_error_at_each_call(
    edit: Edit, fresh: Fresh, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set()
    for at in range(1, len(fresh.whole.log) + 1):
        root = fresh()
        system = FailAt(at, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), after=after)
        try:
            edit.run(root, system, monkeypatch)
        except fastsm.CommitError as e:
            seen.add(e.on_disk)
            assert edit.result(root) == (fresh.new if e.on_disk == "new" else fresh.old), at
        else:
            assert edit.result(root) == fresh.new, at
        if edit.out:
            assert tree(root / "model") == fresh.model
        edit.again(root)
    assert "old" in seen


def test_a_disk_that_stays_broken(
    edit: Edit, fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at in range(1, len(fresh.whole.log) + 1):
        root = fresh()
        system = FailFrom(at, OSError(errno.EROFS, os.strerror(errno.EROFS)), CHANGING)
        try:
            edit.run(root, system, monkeypatch)
        except fastsm.CommitError as e:
            expected = fresh.new if e.on_disk == "new" else fresh.old
            assert edit.result(root) in (expected, fresh.without_fingerprint(expected)), at
        else:
            assert edit.result(root) == fresh.new, at
        edit.again(root)


def test_a_power_cut_at_each_call(
    edit: Edit, fresh: Fresh, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = [n for n, name in enumerate(fresh.whole.log, 1) if name in CHANGING]
    for at in [*calls, len(fresh.whole.log) + 1]:
        root = fresh()
        system = PowerCut(root, at)
        done = at > len(fresh.whole.log)
        allowed = [fresh.new] if done else [fresh.old, fresh.new]
        if not edit.out and not done:
            allowed += [fresh.without_fingerprint(model) for model in tuple(allowed)]
        try:
            edit.run(root, system, monkeypatch)
        except PowerCutError:
            assert not done
        for disk, keep in system.outcomes():
            found = scratch / "found"
            build(disk, found, keep)
            result = edit.result(found)
            assert result in allowed, (at, keep, system.log[-3:])
            if not edit.out and result != fresh.old:
                fastsm.undo(found / "model", found / "backup", sync=False)
                assert tree(found / "model") == fresh.model
            shutil.rmtree(found)
        system.close_all()


@pytest.mark.parametrize("name", [n for n, e in EDITS.items() if not e.out])
def test_undo_gives_the_old_bytes_and_no_others(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit = EDITS[name]
    edit.prepare(tmp_path / "model")
    old = tree(tmp_path / "model")
    edit.run(tmp_path, System(), monkeypatch)
    new = tree(tmp_path / "model")
    for file in [n for n in (new or {}) if n.startswith("variables/") and n in (old or {})]:
        path = tmp_path / "model" / file
        whole = path.read_bytes()
        path.write_bytes(whole + b"!")
        if whole == (old or {})[file]:  # the edit left it as it was, and so does undo
            path.write_bytes(whole)
            continue
        with pytest.raises(fastsm.RefusedError, match="is not as the edit left it"):
            fastsm.undo(tmp_path / "model", tmp_path / "backup", sync=False)
        path.write_bytes(whole)
        assert tree(tmp_path / "model") == new
    fastsm.undo(tmp_path / "model", tmp_path / "backup", sync=False)
    assert tree(tmp_path / "model") == old
    assert undoing.undo(str(tmp_path / "model"), str(tmp_path / "backup")).changed is False
