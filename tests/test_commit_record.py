"""Receipts, backups, and undo."""
from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

import fastsm
from fastsm.commit import System, commit
from fastsm.commit.undo import undo
from fastsm.errors import FormatError, MissingError, RefusedError
from fastsm.plan import Deferred, Plan
from fastsm.source import from_bytes

from .crash import FailOn
from .edits import NEW, OLD, make_model, move, retag, stats, tree


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_model(tmp_path / "model")


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    return tmp_path / "backup"


@pytest.fixture
def receipt(tmp_path: Path) -> Path:
    return tmp_path / "receipt.json"


def state(data: bytes) -> dict[str, Any]:
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


# --- the receipt -------------------------------------------------------------------------


def test_a_receipt_says_what_was_done(folder: Path, receipt: Path) -> None:
    plan = retag(folder)
    plan.warnings.append("take care")
    plan.write("fingerprint.pb", Deferred(lambda _: (None, "no fingerprint")))
    commit(plan, receipt=str(receipt))
    assert json.loads(receipt.read_text("ascii")) == {
        "schema": "fastsm.receipt/1",
        "fastsm": fastsm.__version__,
        "verb": "retag",
        "arguments": {"old": ["serve"], "new": ["gpu"]},
        "path": str(folder),
        "out": None,
        "changed": True,
        "files": [
            {
                "path": "fingerprint.pb",
                "before": state(b"old fingerprint"),
                "after": None,
                "untouched": [],
            },
            {
                "path": "saved_model.pb",
                "before": state(OLD),
                "after": state(NEW),
                "untouched": [[6, 5, len(OLD) - 6]],
            },
        ],
        "parity": None,
        "warnings": ["take care", "no fingerprint"],
    }


@pytest.mark.parametrize("make", [retag, move])
def test_the_same_edit_has_the_same_receipt(tmp_path: Path, receipt: Path, make: Any) -> None:
    seen = set()
    for _ in range(2):
        folder = make_model(tmp_path / "model")
        commit(make(folder), receipt=str(receipt))
        seen.add(receipt.read_bytes())
        folder.rename(tmp_path / f"done{len(seen)}{os.urandom(2).hex()}")
    assert len(seen) == 1


def test_a_receipt_of_a_copy(folder: Path, tmp_path: Path, receipt: Path) -> None:
    commit(retag(folder), out=str(tmp_path / "out"), receipt=str(receipt))
    seen = json.loads(receipt.read_text())
    assert (seen["path"], seen["out"]) == (str(folder), str(tmp_path / "out"))
    assert [f["after"] for f in seen["files"]] == [state(b"new fingerprint"), state(NEW)]


def test_a_receipt_of_nothing(folder: Path, receipt: Path) -> None:
    before = {p: st for p, st in stats(folder).items() if p != folder.parent}
    commit(Plan(str(folder)), receipt=str(receipt))
    seen = json.loads(receipt.read_text())
    assert (seen["changed"], seen["files"]) == (False, [])
    assert {p: st for p, st in stats(folder).items() if p in before} == before


def test_a_dry_run_writes_no_records(folder: Path, receipt: Path, backup: Path) -> None:
    commit(retag(folder), dry_run=True, receipt=str(receipt), backup=str(backup))
    assert os.listdir(folder.parent) == ["model"]


def test_a_receipt_replaces_an_older_one(folder: Path, receipt: Path) -> None:
    receipt.write_text("of yesterday")
    commit(retag(folder), receipt=str(receipt))
    assert json.loads(receipt.read_text())["verb"] == "retag"


@pytest.mark.parametrize(
    ("where", "message"), [("model/receipt", "inside the model"), ("none/receipt", "no folder")]
)
def test_receipts_that_have_no_place(folder: Path, where: str, message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        commit(retag(folder), receipt=str(folder.parent / where))
    assert (folder / "saved_model.pb").read_bytes() == OLD


def test_a_receipt_that_cannot_be_written_stops_the_edit(folder: Path, receipt: Path) -> None:
    receipt.mkdir()
    with pytest.raises(RefusedError, match="is a folder; a file is wanted"):
        commit(retag(folder), receipt=str(receipt))
    assert (folder / "saved_model.pb").read_bytes() == OLD


def test_a_receipt_in_the_new_model_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "absent"):
        out = tmp_path / name
        with pytest.raises(RefusedError, match="lies inside the new model"):
            commit(retag(folder), out=str(out), receipt=str(out / "receipt.json"))
    assert sorted(os.listdir(tmp_path)) == ["empty", folder.name]
    assert os.listdir(tmp_path / "empty") == []


# --- the backup, and back ----------------------------------------------------------------


@pytest.mark.parametrize("make", [retag, move])
def test_there_and_back(folder: Path, backup: Path, make: Any) -> None:
    (folder / "saved_model.pb").chmod(0o640)
    before = tree(folder)
    commit(make(folder), backup=str(backup))
    assert tree(folder) != before
    done = undo(str(folder), str(backup))
    assert done.changed
    assert tree(folder) == before
    assert stat.S_IMODE((folder / "saved_model.pb").stat().st_mode) == 0o640
    for path in folder.rglob("*"):
        if path.is_file():
            assert path.stat().st_nlink == 1
    again = undo(str(folder), str(backup))
    assert not again.changed


def test_a_backup_holds_what_changes_and_no_more(folder: Path, backup: Path) -> None:
    commit(move(folder), backup=str(backup))
    files = tree(backup)
    manifest = json.loads(files.pop("manifest.json"))
    assert files == {
        "files/saved_model.pb": OLD,
        "files/fingerprint.pb": b"old fingerprint",
        "files/assets/vocab.txt": b"a b c",
    }
    assert manifest == {
        "schema": "fastsm.backup/1",
        "fastsm": fastsm.__version__,
        "verb": "retag",
        "arguments": {"old": ["serve"], "new": ["gpu"]},
        "files": [
            {"path": "assets/vocab.txt", "before": state(b"a b c"), "after": None},
            {"path": "assets/words.txt", "before": None, "after": state(b"a b c")},
            {
                "path": "fingerprint.pb",
                "before": state(b"old fingerprint"),
                "after": state(b"new fingerprint"),
            },
            {"path": "saved_model.pb", "before": state(OLD), "after": state(NEW)},
        ],
    }


def test_a_backup_shares_no_file_with_the_model(folder: Path, backup: Path) -> None:
    commit(move(folder), backup=str(backup))
    inodes = {p.stat().st_ino for p in backup.rglob("*")}
    assert not inodes & {p.stat().st_ino for p in folder.rglob("*")}


def test_a_file_with_other_names_is_copied_to_the_backup(folder: Path, backup: Path) -> None:
    os.link(folder / "saved_model.pb", folder.parent / "twin")
    commit(retag(folder), backup=str(backup))
    (folder.parent / "twin").write_bytes(b"written through")
    assert (backup / "files" / "saved_model.pb").read_bytes() == OLD


def test_a_backup_on_another_file_system(folder: Path, backup: Path) -> None:
    before = tree(folder)
    system = FailOn("link", OSError(errno.EXDEV, "Invalid cross-device link"))
    commit(retag(folder), backup=str(backup), system=system)
    undo(str(folder), str(backup))
    assert tree(folder) == before


def test_nothing_to_do_makes_no_backup(folder: Path, backup: Path) -> None:
    commit(Plan(str(folder)), backup=str(backup))
    assert not backup.exists()


def test_undo_without_a_fingerprint_after_a_crash(folder: Path, backup: Path) -> None:
    before = tree(folder)
    commit(retag(folder), backup=str(backup))
    (folder / "fingerprint.pb").unlink()
    undo(str(folder), str(backup))
    assert tree(folder) == before


def test_undo_takes_new_files_away(folder: Path, backup: Path) -> None:
    before = tree(folder)
    plan = Plan(str(folder))
    plan.write("assets/new.txt", from_bytes(b"new"))
    commit(plan, backup=str(backup))
    undo(str(folder), str(backup))
    assert tree(folder) == before


def test_undo_as_a_dry_run(folder: Path, backup: Path) -> None:
    commit(retag(folder), backup=str(backup))
    before = stats(folder)
    assert undo(str(folder), str(backup), dry_run=True).changed
    assert stats(folder) == before


@pytest.mark.parametrize("name", ["saved_model.pb", "fingerprint.pb", "assets/words.txt"])
def test_undo_refuses_what_changed_since(folder: Path, backup: Path, name: str) -> None:
    commit(move(folder), backup=str(backup))
    (folder / name).write_bytes(b"by somebody else")
    before = stats(folder)
    with pytest.raises(RefusedError, match=f"{name} is not as the edit left it"):
        undo(str(folder), str(backup))
    assert stats(folder) == before


def test_undo_refuses_what_came_since(folder: Path, backup: Path) -> None:
    commit(move(folder), backup=str(backup))
    (folder / "assets" / "vocab.txt").write_bytes(b"by somebody else")
    with pytest.raises(RefusedError, match=r"assets/vocab\.txt is not as the edit left it"):
        undo(str(folder), str(backup))


@pytest.mark.parametrize("damage", ["change", "remove"])
def test_undo_refuses_a_damaged_backup(folder: Path, backup: Path, damage: str) -> None:
    commit(retag(folder), backup=str(backup))
    path = backup / "files" / "saved_model.pb"
    path.unlink() if damage == "remove" else path.write_bytes(b"flipped")
    before = tree(folder)
    with pytest.raises(RefusedError, match=r"damaged: files/saved_model\.pb has changed"):
        undo(str(folder), str(backup))
    assert tree(folder) == before


def test_undo_without_a_backup(folder: Path, backup: Path) -> None:
    with pytest.raises(MissingError, match=r"no manifest\.json here"):
        undo(str(folder), str(backup))
    with pytest.raises(MissingError, match="no such folder"):
        undo(str(folder) + "x", str(backup))


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"schema": "fastsm.receipt/1", "files": []}',
        b'{"schema": "fastsm.backup/1"}',
        b'{"schema": "fastsm.backup/1", "files": [{}]}',
        b'{"schema": "fastsm.backup/1", "files": [{"path": 1, "before": null, "after": null}]}',
        b'{"schema": "fastsm.backup/1", "files": [{"path": "x", "before": 1, "after": null}]}',
        b'{"schema": "fastsm.backup/1", "files":'
        b' [{"path": "../x", "before": null, "after": null}]}',
        b"[" * 100_000,
    ],
)
def test_manifests_that_are_none(folder: Path, backup: Path, manifest: bytes) -> None:
    backup.mkdir()
    (backup / "manifest.json").write_bytes(manifest)
    with pytest.raises(FormatError):
        undo(str(folder), str(backup))


def test_a_backup_that_is_a_pipe(folder: Path, backup: Path) -> None:
    backup.mkdir()
    os.mkfifo(backup / "manifest.json")
    with pytest.raises(RefusedError, match="is not a file"):
        undo(str(folder), str(backup))


def test_digests_are_taken_beside_a_large_copy(folder: Path, receipt: Path) -> None:
    os.truncate(folder / "saved_model.pb", 9 << 20)
    commit(retag(folder), receipt=str(receipt), sync=False, system=System())
    files = json.loads(receipt.read_text())["files"]
    data = (folder / "saved_model.pb").read_bytes()
    assert files[1]["after"] == state(data)
