"""The commit: what is on the disk after it, and what it leaves alone."""
from __future__ import annotations

import os
from pathlib import Path

import pytest

from fastsm.commit import commit
from fastsm.errors import RefusedError
from fastsm.plan import Deferred, Plan, Rewrite
from fastsm.source import File, from_bytes

OLD = b"an old graph, and then " + b"." * 500
NEW = b"a new graph, and then " + b"." * 500


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with the files of a model; their bytes do not matter here."""
    folder = tmp_path / "model"
    (folder / "variables").mkdir(parents=True)
    (folder / "assets").mkdir()
    (folder / "saved_model.pb").write_bytes(OLD)
    (folder / "fingerprint.pb").write_bytes(b"old fingerprint")
    (folder / "variables" / "variables.index").write_bytes(b"index")
    (folder / "variables" / "variables.data-00000-of-00001").write_bytes(b"data" * 100)
    (folder / "assets" / "vocab.txt").write_bytes(b"a b c")
    return folder


def read(plan: Plan, name: str) -> File:
    file = File(os.path.join(plan.folder, name))
    plan.read(name, file)
    return file


def retag(path: Path, *, fingerprint: bytes | None = b"new fingerprint") -> Plan:
    """A plan as retag makes it: a few bytes of one file, and the fingerprint's."""
    plan = Plan(str(path), verb="retag", arguments={"old": ["serve"], "new": ["gpu"]})
    rewrite = Rewrite(read(plan, "saved_model.pb").source())
    rewrite.replace(0, 6, b"a new")
    plan.write("saved_model.pb", rewrite.source())
    if (path / "fingerprint.pb").exists():
        read(plan, "fingerprint.pb")
        plan.write("fingerprint.pb", Deferred(lambda: (fingerprint, None)))
    return plan


def tree(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_saved_model_and_fingerprint_are_replaced(model: Path) -> None:
    before = tree(model)
    done = commit(retag(model))
    assert done.changed
    assert done.path == str(model)
    assert [c.name for c in done.written] == ["fingerprint.pb", "saved_model.pb"]
    assert [(c.before, c.after) for c in done.written] == [(15, 15), (len(OLD), len(NEW))]
    after = {**before, "saved_model.pb": NEW, "fingerprint.pb": b"new fingerprint"}
    assert tree(model) == after


def test_an_empty_plan_writes_nothing(model: Path) -> None:
    before = {p: p.stat() for p in [model, *model.rglob("*")]}
    done = commit(Plan(str(model)))
    assert not done.changed
    assert {p: p.stat() for p in [model, *model.rglob("*")]} == before


def test_a_dry_run_writes_nothing(model: Path) -> None:
    before = {p: p.stat() for p in [model, *model.rglob("*")]}
    done = commit(retag(model), dry_run=True)
    assert done.changed
    assert [(c.before, c.after) for c in done.written] == [(15, 15), (len(OLD), len(NEW))]
    assert {p: p.stat() for p in [model, *model.rglob("*")]} == before


def test_a_fingerprint_that_cannot_be_computed_goes(model: Path) -> None:
    plan = retag(model)
    plan.write("fingerprint.pb", Deferred(lambda: (None, "no fingerprint: too odd")))
    done = commit(plan)
    assert done.warnings == ["no fingerprint: too odd"]
    assert not (model / "fingerprint.pb").exists()
    assert (model / "saved_model.pb").read_bytes() == NEW


def test_a_fingerprint_that_comes_out_the_same_is_not_touched(model: Path) -> None:
    before = (model / "fingerprint.pb").stat()
    done = commit(retag(model, fingerprint=b"old fingerprint"))
    assert [c.name for c in done.written] == ["saved_model.pb"]
    assert (model / "fingerprint.pb").stat() == before


def test_a_file_alone(model: Path) -> None:
    plan = Plan(str(model))
    plan.write("variables/variables.index", from_bytes(b"other"))
    before = tree(model)
    commit(plan)
    assert tree(model) == {**before, "variables/variables.index": b"other"}
    plan = Plan(str(model))
    plan.remove("fingerprint.pb")
    commit(plan)
    assert not (model / "fingerprint.pb").exists()


@pytest.mark.parametrize("name", ["saved_model.pb", "fingerprint.pb"])
def test_a_model_that_changed_since_it_was_opened_is_refused(model: Path, name: str) -> None:
    plan = retag(model)
    (model / name).write_bytes(b"somebody else's")
    before = tree(model)
    with pytest.raises(RefusedError, match=f"{name} changed since it was opened"):
        commit(plan)
    assert tree(model) == before
