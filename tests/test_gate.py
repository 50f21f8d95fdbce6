"""The gate of an edit: the edited model is proved whole, before it is anybody's, or not written."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fastsm
from fastsm import _core
from fastsm.commit import commit
from fastsm.edits.draft import Draft
from fastsm.errors import CommitError, RefusedError, UnsupportedError, UsageError
from fastsm.plan import Plan
from fastsm.proof.report import ParityReport, Remark, Row

from .crash import Counting, FailAt
from .edits import OLD, RETAGGED, make_model, move, moved, retag, tree
from .oracle import ROOT
from .test_cli import Run, contents, here, run

__all__ = ["here", "run"]

RANKER, TAGGER = ROOT / "examples" / "ranker" / "1", ROOT / "examples" / "tagger" / "1"

Edit = Callable[[Path], Plan]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_model(tmp_path / "model")


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made; nothing is left in it."""
    path = tmp_path / "temporary"
    path.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    return path


@pytest.fixture(autouse=True)
def leaves_nothing(tmp_path: Path, temporary: Path) -> Any:
    yield
    assert list(temporary.iterdir()) == []
    assert [p for p in tmp_path.rglob("*") if "fastsm-stage" in p.name] == []


class Proof:
    """Looks at what it is shown; knows what it should be."""

    def __init__(self, folder: Path, new: dict[str, bytes], error: BaseException | None = None):
        self.folder, self.old, self.new, self.error = folder, tree(folder), new, error
        self.shown: list[Path] = []

    def __call__(self, staged: str) -> dict[str, Any]:
        self.shown.append(Path(staged))
        assert tree(Path(staged)) == self.new
        assert {n: d for n, d in tree(self.folder).items() if "fastsm-stage" not in n} == self.old
        if self.error is not None:
            raise self.error
        return {"equal": True}


def retagged(before: dict[str, bytes]) -> dict[str, bytes]:
    return {**before, **RETAGGED}


def nothing(path: Path) -> Plan:
    return Plan(str(path))


SHAPES: dict[str, tuple[Edit, Callable[[dict[str, bytes]], dict[str, bytes]], dict[str, Any]]] = {
    "files": (retag, retagged, {}),
    "folder": (move, moved, {}),
    "out": (retag, retagged, {"out": True}),
    "out, linked": (move, moved, {"out": True, "link": True}),
    "out, as it is": (nothing, dict, {"out": True}),
}


@pytest.mark.parametrize("name", SHAPES)
def test_the_edited_model_is_shown_whole(name: str, folder: Path, tmp_path: Path) -> None:
    edit, changed, options = SHAPES[name]
    if "out" in options:
        options = {**options, "out": str(tmp_path / "out")}
    new, receipt = changed(tree(folder)), tmp_path / "receipt.json"
    dry = Proof(folder, new)
    commit(edit(folder), prove=dry, dry_run=True, **options)
    assert tree(folder) == dry.old
    assert not (tmp_path / "out").exists()
    for error in (RefusedError("", "differs"), KeyboardInterrupt(), ValueError("a bug")):
        proof = Proof(folder, new, error)
        for dry_run in (True, False):
            with pytest.raises(type(error)):
                commit(
                    edit(folder), prove=proof, receipt=str(receipt), dry_run=dry_run, **options
                )
            assert getattr(error, "on_disk", "old") == "old"
        assert len(proof.shown) == 2
        assert tree(folder) == proof.old
        assert not (tmp_path / "out").exists()
        assert not receipt.exists()
    done = Proof(folder, new)
    commit(edit(folder), prove=done, receipt=str(receipt), **options)
    assert tree(tmp_path / "out" if options else folder) == new
    assert json.loads(receipt.read_text())["parity"] == {"equal": True}
    (where,) = [*done.shown]
    # TF Serving loads folders whose names are numbers; this one was found by no reader.
    assert where.name.startswith(".")
    assert not where.exists()


def test_a_refused_proof_leaves_no_backup(folder: Path, tmp_path: Path) -> None:
    proof = Proof(folder, retagged(tree(folder)), RefusedError("", "differs"))
    with pytest.raises(RefusedError):
        commit(retag(folder), prove=proof, backup=str(tmp_path / "backup"))
    assert not (tmp_path / "backup").exists()


def test_where_nothing_changes_nothing_is_proved(folder: Path, tmp_path: Path) -> None:
    def never(_: str) -> dict[str, Any]:
        raise AssertionError

    receipt = tmp_path / "receipt.json"
    commit(nothing(folder), prove=never)
    commit(nothing(folder), prove=never, dry_run=True)
    commit(nothing(folder), prove=never, receipt=str(receipt))
    assert json.loads(receipt.read_text())["parity"] is None


def test_a_dry_run_copies_nothing_that_stays(folder: Path) -> None:
    seen = {}

    def prove(staged: str) -> dict[str, Any]:
        for path in Path(staged).rglob("*"):
            if not path.is_dir():
                seen[str(path.relative_to(staged))] = path.is_symlink()
        return {}

    commit(move(folder), prove=prove, dry_run=True)
    assert seen == {
        "saved_model.pb": False, "fingerprint.pb": False, "assets/words.txt": True,
        "variables/variables.index": True, "variables/variables.data-00000-of-00001": True,
    }  # fmt: skip


@pytest.mark.parametrize("dry_run", [False, True])
def test_links_of_a_model(folder: Path, tmp_path: Path, dry_run: bool) -> None:
    """Inside it, to what is in it or elsewhere, and to nothing."""
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "word").write_text("far")
    (folder / "assets" / "far").symlink_to(tmp_path / "far")
    (folder / "assets" / "word").symlink_to(tmp_path / "far" / "word")
    (folder / "assets" / "near").symlink_to("vocab.txt")
    (folder / "assets" / "none").symlink_to("nothing")
    os.rename(folder / "saved_model.pb", folder / "assets" / "model")
    (folder / "saved_model.pb").symlink_to("assets/model")
    os.mkfifo(folder / "pipe")

    def prove(staged: str) -> dict[str, Any]:
        assert (Path(staged) / "saved_model.pb").read_bytes() == RETAGGED["saved_model.pb"]
        assets = Path(staged) / "assets"
        assert (assets / "far" / "word").read_text() == (assets / "word").read_text() == "far"
        assert (assets / "near").resolve() == (assets / "vocab.txt").resolve()
        assert not (assets / "none").exists()
        return {}

    commit(retag(folder), prove=prove, dry_run=dry_run)
    assert (folder / "saved_model.pb").is_symlink()


@pytest.mark.parametrize(
    ("act", "name"),
    [
        (lambda staged: (staged / "saved_model.pb").write_bytes(b"other"), "saved_model.pb"),
        (lambda staged: (staged / "assets" / "new").write_bytes(b""), "assets/new"),
        (lambda staged: (staged / "fingerprint.pb").unlink(), "fingerprint.pb"),
    ],
)
@pytest.mark.parametrize("edit", [retag, move])
def test_a_model_that_changes_itself_is_refused(
    edit: Edit, act: Callable[[Path], object], name: str, folder: Path
) -> None:
    """TensorFlow's graphs can write files. What was proved is what is published."""
    before = tree(folder)

    def prove(staged: str) -> dict[str, Any]:
        act(Path(staged))
        return {}

    with pytest.raises(RefusedError, match=f"{name} of the edited model changed while"):
        commit(edit(folder), prove=prove)
    assert tree(folder) == before


def test_a_model_that_another_changes_is_refused(folder: Path) -> None:
    def prove(_: str) -> dict[str, Any]:
        (folder / "saved_model.pb").write_bytes(b"another's")
        return {}

    for dry_run in (True, False):
        with pytest.raises(RefusedError, match=r"saved_model\.pb.*changed"):
            commit(retag(folder), prove=prove, dry_run=dry_run)
        assert tree(folder)["saved_model.pb"] == b"another's"
        (folder / "saved_model.pb").write_bytes(OLD)


def test_a_dry_run_that_fails_at_each_call(folder: Path, tmp_path: Path) -> None:
    before = tree(tmp_path)
    whole = Counting()
    commit(move(folder), prove=lambda _: {}, dry_run=True, system=whole)
    failed = 0
    for at in range(1, len(whole.log) + 1):
        for error in (OSError(5, "broken"), KeyboardInterrupt()):
            try:
                system = FailAt(at, error)
                commit(move(folder), prove=lambda _: {}, dry_run=True, system=system)
            except (CommitError, KeyboardInterrupt):
                failed += 1
        for path in (tmp_path / "temporary").iterdir():  # a folder that could not be removed
            assert "remove_folder" in whole.log[at - 1] or whole.log[at - 1] in (
                "unlink", "lstat", "names", "make_temporary",
            )  # fmt: skip
            shutil.rmtree(path)
        assert tree(tmp_path) == before
    assert failed > len(whole.log)


# -- the verbs, with a TensorFlow that is told what to find ----------------------------------


class Parity:
    """In place of `fastsm.parity`."""

    def __init__(self, find: Callable[[ParityReport], object]) -> None:
        self.find = find
        self.calls: list[dict[str, Any]] = []

    def __call__(self, before: str, after: str, **options: Any) -> ParityReport:
        self.calls.append({"before": before, **options})
        fastsm.open(after)  # whole, and readable
        report = ParityReport(before, after, ["v2", "v1"])
        report.settings = {"before": "TensorFlow 9", "after": "TensorFlow 9", "bit_for_bit": True}
        row = Row(["serve"], "signature", "rank")
        row.loaders = {n: {"verdict": "equal", "inputs": 1, "compared": 2} for n in ("v2", "v1")}
        report.rows.append(row)
        self.find(report)
        return report


def finds(monkeypatch: pytest.MonkeyPatch, find: Callable[[ParityReport], object]) -> Parity:
    parity = Parity(find)
    monkeypatch.setattr("fastsm.proof.parity.parity", parity)
    return parity


def equal(report: ParityReport) -> None:
    report.not_compared.append(Remark(["serve"], "callable", "loaded.f", None, "not in AFTER"))


def differs(report: ParityReport) -> None:
    for loader in report.loaders:
        for output in "abcd":
            why = "1 of 2 elements"
            remark = Remark(["serve"], "signature", "rank", loader, why, part=output)
            report.differences.append(remark)


def compares_nothing(report: ParityReport) -> None:
    report.rows.clear()
    why = 'BEFORE: needs the op "Foo"'
    report.not_compared.append(Remark(["serve"], "load", "", "v1", why))


@pytest.fixture
def ranker(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RANKER, tmp_path / "ranker"))


def test_an_equal_edit_is_written_and_says_so(
    ranker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parity = finds(monkeypatch, equal)
    receipt, options = tmp_path / "receipt.json", {"device": "gpu:1", "python": "py"}
    with fastsm.edit(ranker, receipt=receipt, parity=options) as edit:
        edit.rename_signature("rank", "order")
        edit.copy_signature("order", "again")
    assert edit.result is not None
    report = edit.result.parity
    assert report is not None
    assert (report.before, report.after) == (str(ranker), str(ranker))
    assert edit.result.to_dict()["parity"] == report.to_dict()
    assert json.loads(receipt.read_text())["parity"] == report.to_dict()
    assert ".fastsm" not in receipt.read_text()
    (call,) = parity.calls
    mapping = call.pop("map")
    assert call == {"before": str(ranker), **options}
    assert mapping.graph(frozenset(["serve"])).after("rank") == ["order", "again"]
    assert "order" in fastsm.open(ranker).meta_graphs[0].signatures


def test_an_edit_that_differs_is_refused(ranker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finds(monkeypatch, differs)
    before = tree(ranker)
    for options in ({}, {"dry_run": True}, {"out": ranker.parent / "out"}):
        with pytest.raises(RefusedError) as raised:
            fastsm.rename_signature(ranker, "rank", "order", parity=True, **options)
        assert str(raised.value) == (
            f"{ranker}: the edited model differs: rank: a: 1 of 2 elements (v2, v1); "
            "rank: b: 1 of 2 elements (v2, v1); rank: c: 1 of 2 elements (v2, v1); and 1 more\n"
            "  Nothing was written: the model on disk is the old one. To see all of it: --out DIR "
            "without --parity, then fastsm parity."
        )
        assert tree(ranker) == before
        assert not (ranker.parent / "out").exists()


def test_where_nothing_can_be_compared_nothing_is_written(
    ranker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finds(monkeypatch, compares_nothing)
    before = tree(ranker)
    with pytest.raises(UnsupportedError, match='could be compared: BEFORE: needs the op "Foo"'):
        fastsm.retag(ranker, "serve", "gpu", parity=True)
    assert tree(ranker) == before


def test_no_parity_no_proof(ranker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parity = finds(monkeypatch, differs)
    assert fastsm.retag(ranker, "serve", "gpu", parity=False).parity is None
    assert fastsm.retag(ranker, "gpu", "gpu", parity=True).parity is None
    assert parity.calls == []


def test_options_that_parity_has_not(ranker: Path) -> None:
    with pytest.raises(UsageError, match=r"parity has no 'devise'\n.*device"):
        fastsm.retag(ranker, "serve", "gpu", parity={"devise": "gpu"})


# -- the command line ------------------------------------------------------------------------


def test_the_screen(run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finds(monkeypatch, equal)
    for words in (["--dry-run"], []):
        done = run("rename-signature", "ranker", "rank", "order", "--parity", *words)
        assert "  parity                                  equal in v2, v1\n" in done.out
        assert "    not compared: loaded.f: not in AFTER\n" in done.out
    assert "parity" not in run("rename-signature", "ranker", "order", "rank").out
    done = run("strip", "ranker", "--dry-run", "--parity", "--json").json
    assert done["parity"]["verdict"] == "equal"
    assert run("strip", "ranker", "--dry-run", "--json").json["parity"] is None


def test_refusals_have_their_exit_codes(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(here)
    for find, code in ((differs, 5), (compares_nothing, 7)):
        finds(monkeypatch, find)
        for words in (
            ["retag", "ranker", "serve", "gpu"], ["dedupe", "ranker", "--in-place"],
            ["strip", "ranker", "--out", "slim"], ["repair", "ranker", "--out", "mended"],
        ):  # fmt: skip
            done = run(*words, "--parity")
            assert (done.code, done.out) == (code, "")
            assert "Nothing was written: the model on disk is the old one." in done.err
    assert contents(here) == before


def test_its_options_mean_nothing_alone(run: Run, here: Path) -> None:
    for option in ("--python", "--device", "--import", "--op-library", "--seed", "--timeout"):
        done = run("retag", "ranker", "serve", "gpu", option, "0")
        assert (done.code, done.err) == (2, f"fastsm: {option} goes with --parity\n")


def test_options_of_the_command_line(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parity = finds(monkeypatch, equal)
    words = ["--device", "gpu", "--python", "py", "--import", "a", "--import", "b"]
    words += ["--op-library", "c", "--seed", "0", "--timeout", "5.5"]
    assert run("retag", "ranker", "serve", "gpu", "--parity", *words).code == 0
    (call,) = parity.calls
    assert {name: call[name] for name in call if name not in ("before", "map", "progress")} == {
        "device": "gpu", "python": "py", "imports": ["a", "b"], "op_libraries": ["c"], "seed": 0,
        "timeout": 5.5,
    }  # fmt: skip


def test_a_verb_that_was_not_told_where_proves_nothing(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends with 2 whatever that would find, and TensorFlow takes its time."""
    parity = finds(monkeypatch, differs)
    assert run("dedupe", "ranker", "--parity").code == 2
    (here / "plan.json").write_text('[{"verb": "dedupe"}]')
    assert run("edit", "ranker", "plan.json", "--parity").code == 2
    assert parity.calls == []
    (here / "plan.json").write_text('[{"verb": "retag", "old": "serve", "new": "gpu"}]')
    assert run("edit", "ranker", "plan.json", "--parity").code == 5
    assert len(parity.calls) == 1


def test_every_editing_verb_has_it() -> None:
    from fastsm.cli import VERBS
    from fastsm.verbs.data import verbs

    for verb in [*verbs(), "edit"]:
        assert verb in VERBS
        module = importlib.import_module(f"fastsm.cli.{verb.replace('-', '_')}")
        flags = {flag for flags, _ in module.OPTIONS for flag in flags}
        assert {"--parity", "--python", "--device", "--import", "--op-library"} <= flags


# -- TensorFlow ------------------------------------------------------------------------------


def flipped(draft: Draft) -> None:
    """A fault as an edit could have it: the last bit of a weight, its checksum made right."""
    assert draft.bundle is not None
    for row, key in enumerate(draft.bundle.index.keys()):
        if key.endswith(b"VARIABLE_VALUE"):
            _, _, shard, offset, size, _, _ = draft.bundle.index.entry(row)
            data = bytearray(draft.bundle.shard(shard).source().read(offset, size))
            data[-4] ^= 1
            draft.bundle_rewrite().replace(key, bytes(data), _core.crc32c(bytes(data)))


@pytest.mark.tensorflow
def test_tensorflow_proves_an_edit(ranker: Path, tmp_path: Path) -> None:
    receipt = tmp_path / "receipt.json"
    with fastsm.edit(ranker, receipt=receipt, parity=True) as edit:
        edit.rename_signature("rank", "order")
        edit.rename_input("order", "user", "who")
        edit.copy_signature("order", "again")
        edit.retag("serve", "gpu")
    report = edit.result.parity
    assert report.equal
    assert [(r.name, r.after) for r in report.rows if r.kind == "signature"] == [
        ("rank", "order"), ("rank", "again"), ("serving_default", None),
    ]  # fmt: skip
    for row in report.rows:
        if row.kind == "signature":
            assert {n: of["verdict"] for n, of in row.loaders.items()} == {
                "v2": "equal", "v1": "equal", "cc": "equal",
            }  # fmt: skip
    assert json.loads(receipt.read_text())["parity"] == report.to_dict()
    assert fastsm.parity(RANKER, ranker, receipt=receipt, loaders="v1").equal


@pytest.mark.tensorflow
def test_tensorflow_finds_a_fault(
    ranker: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An edit that is none: what was staged reads as planned, and computes something else."""
    before = tree(ranker)
    for out in (None, tmp_path / "out"):
        with pytest.raises(RefusedError, match="the edited model differs: rank: "):  # noqa: SIM117
            with fastsm.edit(ranker, out=out, parity={"loaders": "v1"}) as edit:
                edit.retag("serve", "gpu")
                flipped(edit._draft)
        assert tree(ranker) == before
        assert not (tmp_path / "out").exists()
    with fastsm.edit(ranker) as edit:  # so it would have gone
        edit.retag("serve", "gpu")
        flipped(edit._draft)
    assert fastsm.verify(ranker).ok


@pytest.mark.tensorflow
def test_tensorflow_refuses_another_asset(run: Run, here: Path) -> None:
    before = contents(here)
    (here / "words").write_text("some\nother\nwords\n")
    words = ["replace-asset", "tagger", "vocabulary.txt", "words", "--in-place", "--parity"]
    done = run(*words)
    assert done.code == 5
    assert "the edited model differs: " in done.err
    assert "vocabulary.txt" in done.err
    (here / "words").unlink()
    assert contents(here) == before


@pytest.mark.tensorflow
def test_tensorflow_cannot_compare(run: Run, here: Path) -> None:
    """A model of an op that nobody has."""
    file = here / "ranker" / "saved_model.pb"
    data = file.read_bytes()
    file.write_bytes(data.replace(b"ReadVariableOp", b"ReadVaudevilOp"))
    before = contents(here)
    done = run("retag", "ranker", "serve", "gpu", "--parity", "--receipt", "receipt.json")
    assert (done.code, done.out) == (7, "")
    assert "nothing could be compared: " in done.err
    assert "ReadVaudevilOp" in done.err
    assert contents(here) == before


@pytest.mark.tensorflow
def test_an_interruption_leaves_nothing(ranker: Path, tmp_path: Path, temporary: Path) -> None:
    before = tree(ranker)
    code = (  # whoever runs the tests in the background may have it ignored
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from fastsm.cli import main\n"
        "main()"
    )
    words = ["retag", str(ranker), "serve", "gpu", "--parity"]
    command = [sys.executable, "-c", code, *words]
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    staged = ranker.parent / f".{ranker.name}.fastsm-stage"
    deadline = time.monotonic() + 60
    while not (staged.is_dir() and any(temporary.iterdir())):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(1.5)  # so that TensorFlow is there
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (
        130, "fastsm: interrupted. The model on disk is the old one.\n",
    )  # fmt: skip
    assert tree(ranker) == before
    with pytest.raises(ProcessLookupError):  # nor is a child of it there any more
        os.killpg(process.pid, 0)
