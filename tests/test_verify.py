"""verify on sound models: no error where TensorFlow finds none; and what it says of the rest.

Damage has a file of its own, test_damage.py.
"""

from __future__ import annotations

import _thread
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import fastsm
from fastsm import workers
from fastsm.check import tensors
from fastsm.check.report import MAX_FINDINGS, MAX_OF_RULE, Report
from fastsm.check.rules import RULES, SEVERITIES
from fastsm.cli import main
from fastsm.cli.verify import lines

from .conftest import CorpusEntry, ModelFactory
from .models import MODELS
from .oracle import ROOT

#: Models of our own that are meant to be wrong: what is found in them, notes aside.
ODD = {
    "dangling_collection": {"collection-dangling"},
    "doubled_asset": {"asset-tensor"},
    "keras_saved": {"restore-handle"},
    "keras_wrapped": {"restore-handle"},
    "sliced_half": {"unrestorable-slices"},
    "stale_children": {"object-child"},
    "stale_fingerprint": {"fingerprint-stale"},
    "tf_keras_slots": {"object-slots"},
    "v1_slots": {"object-slots"},
}

#: So with models of others. TensorFlow 2.21 agrees where it says anything: policy cannot be
#: loaded by tf.saved_model.load (a shape), vnet by no loader (no variables).
ODD_CORPUS = {
    "siddharthverma314_dads__policy-219948": {"restore-shape"},
    "triton-inference-server_server__no_config_no_batch-vnetsavedmodel-430943": {"index-missing"},
    "tensorflow_serving__-saved_model_half_plus_two_cpu_with_empty_saved_model_config-2766ad": {
        "asset-unread"
    },
    "rohanbojja_audient-flask__saved_models-2378bf": {"stray-shard"},
    "DJY160017_tensorflow__testdata-half_plus_two_pbtxt-dc1d8c": {"model-damaged"},
}


def found(report: Report) -> set[str]:
    """The rules that found something, notes aside."""
    return {f.id for f in report.findings if f.severity != "note"}


# -- sound models ----------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in MODELS if n != "no_meta_graphs"])
def test_our_models_are_as_they_were_written(name: str, model: ModelFactory) -> None:
    path = model(name)
    report = fastsm.verify(path)
    assert found(report) == ODD.get(name, set()), report.findings
    assert report.ok == all(RULES[rule][0] != "error" for rule in ODD.get(name, ()))
    # An index was read, if there is one, and tensors with it.
    if (path / "variables" / "variables.index").exists():
        assert report.checked["index_blocks"] > 0
        assert report.checked["tensor_bytes"] <= report.checked["shard_bytes"]
    quick = fastsm.verify(path, quick=True)
    assert found(quick) == ODD.get(name, set()) - {"fingerprint-stale"}
    assert quick.not_checked


def test_models_of_others(corpus_model: CorpusEntry) -> None:
    catalog = corpus_model.catalog
    report = fastsm.verify(corpus_model.path)
    odd = set(ODD_CORPUS.get(catalog["id"], ()))
    if catalog["load_v2"]["result"].endswith("has no attribute 'add_slot'"):
        odd.add("object-slots")
    assert found(report) == odd, report.findings
    loads = catalog["load_v2"]["result"] == "ok" and all(
        v["result"] == "ok" for v in catalog["load_v1"]
    )
    assert report.ok or not loads


def test_checkpoints_of_others(corpus_checkpoint: CorpusEntry) -> None:
    if not Path(f"{corpus_checkpoint.path}.index").exists():
        with pytest.raises(fastsm.MissingError):
            fastsm.verify(corpus_checkpoint.path)
        return
    report = fastsm.verify(corpus_checkpoint.path)
    assert found(report) == set(), report.findings
    assert report.checked["tensor_bytes"] >= corpus_checkpoint.catalog["variable_bytes"]


def test_every_byte_of_the_shards_is_read(model: ModelFactory) -> None:
    for name in ("dtypes", "tensor_list", "shards", "partitioned", "many_variables"):
        checked = fastsm.verify(model(name)).checked
        assert checked["tensor_bytes"] == checked["shard_bytes"] > 0


# -- what it is of ---------------------------------------------------------------------


def test_a_checkpoint_by_prefix_and_by_index(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples" / "ranker" / "1" / "variables", tmp_path / "c")
    for path in (tmp_path / "c" / "variables", tmp_path / "c" / "variables.index"):
        report = fastsm.verify(path)
        assert report.ok and report.checked["tensors"] == 7
        assert {f.file for f in report.findings} == {"variables.index"}
        assert "meta_graphs" not in report.checked


def test_a_folder_of_checkpoints(tmp_path: Path) -> None:
    """The newest is checked, the others are named; no verb mends a checkpoint alone."""
    for i in (1, 2, 3):
        for file in (ROOT / "examples" / "ranker" / "1" / "variables").iterdir():
            shutil.copy(file, tmp_path / file.name.replace("variables", f"model-{i}"))
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "model-2"')
    report = fastsm.verify(tmp_path)
    [note] = report.findings
    assert (note.id, note.file, note.fix) == ("doubled-weights", "model-2.index", None)
    assert report.not_checked == ["other checkpoints than model-2: model-1, model-3"]
    assert fastsm.verify(tmp_path / "model-1").not_checked == []


def test_nothing_there_and_no_model(tmp_path: Path) -> None:
    with pytest.raises(fastsm.MissingError):
        fastsm.verify(tmp_path / "nope")
    with pytest.raises(fastsm.FormatError):
        fastsm.verify(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(fastsm.FormatError, match="Git LFS"):
        fastsm.verify(tmp_path)


def ranker(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "examples" / "ranker" / "1", tmp_path / "1"))


@pytest.mark.parametrize("keep", [0, 1, 100, 20_000, 43_598])
def test_a_damaged_saved_model_is_a_finding_beside_a_checked_bundle(
    keep: int, tmp_path: Path
) -> None:
    path = ranker(tmp_path)
    file = path / "saved_model.pb"
    file.write_bytes(file.read_bytes()[:keep])
    report = fastsm.verify(path)
    assert "model-damaged" in found(report)
    assert report.checked["tensors"] == 7


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7550\n"


@pytest.mark.parametrize(
    ("file", "rule", "hidden"),
    [
        ("saved_model.pb", "model-damaged", "what it names in other files"),
        ("variables/variables.index", "index-footer", "what is restored"),
        ("variables/variables.data-00000-of-00001", "shard-unreadable", "7 tensors in it"),
    ],
)
def test_pointers_in_place_of_files(file: str, rule: str, hidden: str, tmp_path: Path) -> None:
    path = ranker(tmp_path)
    (path / file).write_bytes(POINTER)
    report = fastsm.verify(path)
    [error] = [f for f in report.findings if f.severity == "error"]
    assert (error.id, error.file) == (rule, file)
    assert error.message.endswith("is a Git LFS pointer (66 bytes). Run: git lfs pull")
    assert any(hidden in what for what in report.not_checked)


def test_what_damage_hides_is_told(tmp_path: Path) -> None:
    """Without the checkpoint's object graph nobody knows what is restored by it."""
    path = ranker(tmp_path)
    shard = path / "variables" / "variables.data-00000-of-00001"
    shard.write_bytes(shard.read_bytes()[:7000])
    assert fastsm.verify(path).not_checked == [
        "the checkpoint's object graph, and what tf.saved_model.load restores by it"
    ]
    shard.unlink()
    (path / "variables" / "variables.index").unlink()
    assert not fastsm.verify(path).not_checked  # then it is a finding that there is nothing
    shard.touch()
    [hidden] = fastsm.verify(path).not_checked
    assert hidden.startswith("tensors, and what is restored of them")


def test_links_that_lead_out(tmp_path: Path) -> None:
    path = ranker(tmp_path)
    (path / "variables" / "variables.index").rename(tmp_path / "blob")
    (path / "variables" / "variables.index").symlink_to(tmp_path / "blob")
    (path / "inside").symlink_to("saved_model.pb")
    report = fastsm.verify(path)
    assert report.ok and report.checked["tensors"] == 7
    [link] = [f for f in report.findings if f.id == "link-outside"]
    assert link.file == "variables/variables.index"


# -- what it says ----------------------------------------------------------------------


def test_a_folder_that_may_not_be_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ranker(tmp_path)
    (path / "assets").mkdir()
    listed = os.scandir

    def scandir(folder: str) -> object:
        if os.fspath(folder).endswith("assets"):
            raise PermissionError(13, "Permission denied")
        return listed(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    assert fastsm.verify(path).not_checked == ["assets: cannot be listed: Permission denied"]


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    fastsm.verify(ranker(tmp_path), progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] > 0
    assert told == sorted(told)


def test_a_shard_that_goes_away_meanwhile(model_copy: ModelFactory) -> None:
    path = model_copy("shards")
    shards = sorted((path / "variables").glob("*.data-*"))

    def told(done: int, total: int) -> None:
        shards[-1].unlink(missing_ok=True)

    [error] = [f for f in fastsm.verify(path, progress=told).findings if f.severity == "error"]
    assert (error.id, error.file) == ("shard-unreadable", f"variables/{shards[-1].name}")


def test_an_interrupt_is_heard(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fastsm.verify(ranker(tmp_path), progress=stop)


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every tensor in pieces of 64 bytes, and four threads for them."""
    monkeypatch.setattr(tensors, "JOB", 64)
    monkeypatch.setattr(workers, "THREADED", 0)
    monkeypatch.setattr(workers, "cpus", lambda: 4)


def test_threads_and_pieces_find_the_same(tmp_path: Path, threads: None) -> None:
    path = ranker(tmp_path)
    told: list[int] = []
    report = fastsm.verify(path, progress=lambda done, total: told.append(done))
    assert report.ok and told == sorted(told) and told[-1] == report.checked["shard_bytes"]
    shard = path / "variables" / "variables.data-00000-of-00001"
    data = bytearray(shard.read_bytes())
    for at in (0, 700, 1800, len(data) - 1):
        data[at] ^= 1
        shard.write_bytes(data)
        [damaged] = [f for f in fastsm.verify(path).findings if f.file.endswith("of-00001")]
        assert damaged.offset is not None and damaged.size is not None
        assert damaged.offset <= at < damaged.offset + damaged.size
        data[at] ^= 1


def test_without_threads_it_is_read_all_the_same(
    tmp_path: Path, threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    path = ranker(tmp_path)
    sound = fastsm.verify(path).to_dict()
    monkeypatch.setattr(workers, "start_new_thread", none_left)
    assert fastsm.verify(path).to_dict() == sound


def test_an_interrupt_stops_the_threads(tmp_path: Path, threads: None) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    before = _thread._count()
    with pytest.raises(KeyboardInterrupt):
        fastsm.verify(ranker(tmp_path), progress=stop)
    deadline = time.monotonic() + 5
    while _thread._count() > before and time.monotonic() < deadline:
        time.sleep(0.01)  # released, and about to end
    assert _thread._count() == before


def test_findings_are_bounded_and_counted() -> None:
    report = Report("a/model")
    for i in range(MAX_FINDINGS + 5):
        report.add("bool-bytes", "shard", "odd", offset=i)
    report.add("bool-bytes", "other", "odd")
    assert len(report.findings) == MAX_FINDINGS + 1
    assert report.n("note") == MAX_FINDINGS + 6 and report.omitted == {"bool-bytes": 5}
    assert report.worst() == "note" and report.ok
    for i in range(MAX_OF_RULE + 10):
        report.add("shard-missing", f"shard{i}", "gone")
    assert report.n("error") == MAX_OF_RULE + 10 and report.omitted["shard-missing"] == 10
    assert len(report.findings) == MAX_FINDINGS + 1 + MAX_OF_RULE


def test_findings_are_sorted_and_records(tmp_path: Path) -> None:
    report = Report("a model")
    report.add("restart-array", "b", "late", offset=5)
    report.add("restart-array", "b", "early", offset=0)
    report.add("stray-shard", "a", "other", key=b"\x1b[0m\xff")
    report.sort()
    assert [f.message for f in report.findings] == ["other", "early", "late"]
    assert report.findings[0].key == "\\x1b[0m\\xff"
    assert report.findings[1].fix == "fastsm repair 'a model' --only restart-array"
    assert json.loads(json.dumps(report.to_dict()))["errors"] == 2
    assert repr(report) == "<Report a model: 2 errors, 1 warning, 0 notes>"


def test_alike_findings_are_folded_on_the_screen() -> None:
    report = Report("m")
    report.checked["index_blocks"] = 1
    for i in range(1000):
        report.add("entry-range", "shard", f"key{i}: outside", offset=i, size=4)
    screen = lines(report)
    assert len(screen) < 20
    assert any("and 995 more" in line for line in screen)
    assert len(report.to_dict()["findings"]) == 1000
    for i in range(1000):
        report.add("shard-missing", f"shard{i}", "gone")
    screen = lines(report)
    assert len(screen) < 40
    assert any(line.strip() == "and 992 like this in 992 more files; --json lists them"
               for line in screen)  # fmt: skip


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(list(words))
    return int(end.value.code or 0)


@pytest.mark.parametrize(
    ("severity", "code"), [("error", 0), ("warning", 0), ("note", 1), (None, 0)]
)
def test_fail_on(severity: str | None, code: int, tmp_path: Path) -> None:
    more = [] if severity is None else ["--fail-on", severity]
    assert run("verify", str(ranker(tmp_path)), *more) == code


def test_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = ranker(tmp_path)
    assert run("verify", str(path), "--fail-on", "nonsense") == 2
    assert run("verify", str(tmp_path / "nope")) == 4
    os.mkdir(tmp_path / "empty")
    assert run("verify", str(tmp_path / "empty")) == 3
    (path / "variables" / "variables.data-00000-of-00001").unlink()
    capsys.readouterr()
    assert run("verify", str(path), "--quiet") == 1
    assert "shard-missing" in capsys.readouterr().out
    assert run("verify", str(path), "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "fastsm.verify/1" and not document["ok"]


# -- rules -----------------------------------------------------------------------------


#: A rule in docs/rules.md: its id, which leads to its own page, severity, meaning, what mends it.
ROW = r"\| \[`([a-z-]+)`\]\(rules/\1\.md\) \| (\w+) \| (.+?) \| (.*?) ?\|"


def rows_of_the_page() -> Iterator[tuple[str, str, str, str]]:
    for line in (ROOT / "docs" / "rules.md").read_text().splitlines():
        if match := re.fullmatch(ROW, line):
            yield match[1], match[2], match[3], match[4]


def test_the_page_has_every_rule() -> None:
    want = [
        (name, severity, meaning, f"`{fix.format(path='PATH', id=name)}`" if fix else "")
        for name, (severity, meaning, fix) in RULES.items()
    ]
    assert list(rows_of_the_page()) == want
    assert {severity for severity, _, _ in RULES.values()} == set(SEVERITIES)


def test_every_rule_can_be_found() -> None:
    rooms = (ROOT / "fastsm" / room for room in ("check", "graph"))
    sources = "".join(p.read_text() for room in rooms for p in room.glob("*.py"))
    assert [name for name in RULES if sources.count(f'"{name}"') < 2] == []
