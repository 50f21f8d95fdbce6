"""Checkpoints without a SavedModel: which one a path means, and what it says of itself."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastsm
from fastsm.bundle.find import find, state_path
from fastsm.cli import main
from fastsm.errors import (
    AmbiguousError,
    FormatError,
    MissingError,
    RefusedError,
    UnsupportedError,
    UsageError,
)
from fastsm.model import Checkpoint

from .conftest import CorpusEntry
from .oracle import ROOT, Oracle

RANKER = ROOT / "examples" / "ranker" / "1"


def put(folder: Path, *prefixes: str, state: str | None = None) -> Path:
    """Checkpoints of these names, each a copy of the example's."""
    for prefix in prefixes:
        (folder / prefix).parent.mkdir(parents=True, exist_ok=True)
        for suffix in (".index", ".data-00000-of-00001"):
            shutil.copy(RANKER / "variables" / f"variables{suffix}", f"{folder / prefix}{suffix}")
    if state is not None:
        (folder / "checkpoint").write_text(state)
    return folder


def run(*words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(w) for w in words])
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out, printed.err


# -- which one -------------------------------------------------------------------------


def test_a_prefix_an_index_and_a_folder_of_one(tmp_path: Path) -> None:
    put(tmp_path, "model-10")
    opened = [fastsm.open(tmp_path / name) for name in ("model-10", "model-10.index", "")]
    assert all(isinstance(c, Checkpoint) for c in opened)
    assert {c.prefix for c in opened} == {str(tmp_path / "model-10")}
    assert opened[0] == opened[1] and opened[0].path == str(tmp_path / "model-10")


def test_the_folder_in_a_model_is_a_checkpoint_too() -> None:
    assert isinstance(fastsm.open(RANKER / "variables"), Checkpoint)
    assert isinstance(fastsm.open(RANKER), fastsm.SavedModel)


def test_a_model_is_a_model_whatever_lies_beside(tmp_path: Path) -> None:
    shutil.copytree(RANKER, tmp_path / "m")
    put(tmp_path / "m", "model-1", state='model_checkpoint_path: "model-1"')
    assert isinstance(fastsm.open(tmp_path / "m"), fastsm.SavedModel)
    assert isinstance(fastsm.open(tmp_path / "m" / "saved_model.pb"), fastsm.SavedModel)


def test_the_newest_of_a_folder(tmp_path: Path) -> None:
    state = 'model_checkpoint_path: "model-2"\nall_model_checkpoint_paths: "model-3"\n'
    put(tmp_path, "model-1", "model-2", "model-3", state=state)
    checkpoint = fastsm.open(tmp_path)
    assert isinstance(checkpoint, Checkpoint)
    assert checkpoint.prefix == str(tmp_path / "model-2") and checkpoint.notes == []


STATES = [
    'model_checkpoint_path: "model-2"',
    "model_checkpoint_path: 'model-2'",
    'model_checkpoint_path : "mod" "el-2" # why not',
    'model_checkpoint_path: "model-1"\nmodel_checkpoint_path: "model-2"',
    'all_model_checkpoint_paths: ["model-1", "model-3"], model_checkpoint_path: "model-2"',
    'model_checkpoint_path: "model-\\062"',
    'model_checkpoint_path: "model\\x2d2"',
    'all_model_checkpoint_timestamps: 1.5e9; model_checkpoint_path: "model-2"; '
    "last_preserved_timestamp: -inf",
    'model_checkpoint_path: "./model-2"',
]


@pytest.mark.parametrize("state", STATES)
def test_states_are_read_as_tensorflow_reads_them(
    state: str, tmp_path: Path, oracle: Oracle
) -> None:
    put(tmp_path, "model-1", "model-2", "model-3", state=state)
    want = oracle.latest_checkpoint(tmp_path)
    found = find(tmp_path)
    assert found is not None and want is not None
    assert os.path.normpath(found.prefix) == os.path.normpath(want) == str(tmp_path / "model-2")


@pytest.mark.parametrize(
    "text", ["", "junk {", 'model_checkpoint_path: "open', 'a: "\\x"', "model_checkpoint_path: 5"]
)
def test_states_that_name_nothing(text: str) -> None:
    assert state_path(text) is None


@given(st.text(alphabet="model_checkpoint_path: \"'\\x07#\n[],;5é", max_size=80))
def test_hostile_states(text: str) -> None:
    found = state_path(text)
    assert found is None or isinstance(found, str)


def test_a_folder_of_several(tmp_path: Path) -> None:
    put(tmp_path, "model-1", "model-2")
    with pytest.raises(AmbiguousError) as caught:
        fastsm.open(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: holds 2 checkpoints, and no file that names the newest: model-1, model-2\n"
        f"  Try: {tmp_path}/model-2"
    )


def test_no_path_leads_out_of_the_folder(tmp_path: Path) -> None:
    put(tmp_path, "elsewhere/model-9", "here/model-1")
    for named in (f"{tmp_path}/elsewhere/model-9", "../elsewhere/model-9"):
        (tmp_path / "here" / "checkpoint").write_text(f'model_checkpoint_path: "{named}"')
        with pytest.raises(MissingError) as caught:
            fastsm.open(tmp_path / "here")
        assert str(caught.value) == (
            f"{tmp_path}/here/checkpoint: names {named} as the newest checkpoint, which is outside "
            "this folder, where fastsm does not look; checkpoints here: model-1"
        )


def test_a_folder_that_was_moved(tmp_path: Path) -> None:
    put(tmp_path, "model-1", "model-2", state='model_checkpoint_path: "/old/place/model-1"')
    checkpoint = fastsm.open(tmp_path)
    assert isinstance(checkpoint, Checkpoint)
    assert checkpoint.prefix == str(tmp_path / "model-1")
    assert checkpoint.notes == [
        "checkpoint names /old/place/model-1, outside this folder; took model-1 here"
    ]


def test_one_file_of_a_checkpoint(tmp_path: Path) -> None:
    put(tmp_path, "m-1")
    (tmp_path / "m-1.meta").write_bytes(b"")
    for ending, problem in (
        (".data-00000-of-00001", "is a file of a checkpoint"),
        (".data-00001-of-00002", "there is nothing here"),
        (".meta", "is a file of a checkpoint"),
        ("/", "there is nothing here"),
    ):
        with pytest.raises(MissingError) as caught:
            fastsm.open(f"{tmp_path}/m-1{ending}")
        assert str(caught.value) == (
            f"{tmp_path}/m-1{ending}: {problem}\n  Did you mean {tmp_path}/m-1?"
        )


def test_an_index_that_is_no_file_is_not_one_of_several(tmp_path: Path) -> None:
    put(tmp_path, "m-1")
    (tmp_path / "gone.index").symlink_to("nowhere")
    (tmp_path / "folder.index").mkdir()
    assert find(tmp_path).prefix == str(tmp_path / "m-1")  # type: ignore[union-attr]


def test_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "model-1", "model-2", state='model_checkpoint_path: "model-1"')
    monkeypatch.chdir(tmp_path)
    for folder in (".", tmp_path):
        found = find(folder)
        assert found is not None and os.path.basename(found.prefix) == "model-1"
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "../x/model-9"')
    with pytest.raises(MissingError, match="outside this folder"):
        find(".")


def test_what_is_named_and_not_there(tmp_path: Path) -> None:
    put(tmp_path, "model-1", state='model_checkpoint_path: "model-7"')
    with pytest.raises(MissingError, match=r"which is not there; checkpoints here: model-1$"):
        fastsm.open(tmp_path)


def test_the_old_format(tmp_path: Path) -> None:
    index = (RANKER / "variables" / "variables.index").read_bytes()
    (tmp_path / "model.ckpt").write_bytes(index)
    (tmp_path / "sharded-00000-of-00002").write_bytes(index)
    for name in ("model.ckpt", "sharded"):
        with pytest.raises(UnsupportedError) as caught:
            fastsm.open(tmp_path / name)
        assert str(caught.value) == (
            f"{tmp_path}/{name}: is a checkpoint of TensorFlow's old format (V1), which has no "
            "index\n  TensorFlow reads it: restore it with tf.compat.v1.train.Saver, and save it "
            "anew."
        )


def test_nothing_there_is_told_as_before(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="there is nothing here"):
        fastsm.open(tmp_path / "model-1")
    with pytest.raises(FormatError, match=r"no saved_model\.pb"):
        fastsm.open(tmp_path)
    with pytest.raises(UsageError):
        fastsm.open("")
    with pytest.raises(UnsupportedError, match="gs://"):
        fastsm.open("gs://bucket/model-1")
    with pytest.raises(MissingError):
        fastsm.open("a\0b")


# -- what it says of itself ------------------------------------------------------------


def test_a_checkpoint_as_a_value(tmp_path: Path) -> None:
    put(tmp_path, "a", "b")
    with fastsm.open(tmp_path / "a") as one:
        assert isinstance(one, Checkpoint)
        assert repr(one) == f"<Checkpoint {tmp_path}/a: 6 tensors>"
        assert one == fastsm.open(tmp_path / "b") and one != fastsm.open(RANKER) and one != 1
        told = one.to_dict()
        assert told["prefix"] == f"{tmp_path}/a" and len(told["variables"]) == 6
        assert one.variables_summary.n_variables == 6
        array = one.variables["variables/0/.ATTRIBUTES/VARIABLE_VALUE"].numpy()
    with pytest.raises(ValueError, match="the checkpoint is closed"):
        _ = one.variables
    assert array.shape == (4, 8)


def test_checkpoints_of_the_corpus(
    corpus_checkpoint: CorpusEntry, capsys: pytest.CaptureFixture[str]
) -> None:
    path = corpus_checkpoint.path
    if not Path(f"{path}.index").exists():
        with pytest.raises(MissingError):
            fastsm.open(path)
        return
    for name in (path, path.parent):
        checkpoint = fastsm.open(name)
        assert isinstance(checkpoint, Checkpoint) and checkpoint.prefix == str(path)
        code, out, _ = run("show", name, "--json", capsys=capsys)
        shown = json.loads(out)
        assert code == 0 and shown["format"] == "checkpoint"
        assert sum(g["variables"] for g in shown["groups"]) == shown["variables"]["variables"]
        assert not any(g["group"] == "unreachable" for g in shown["groups"])


def test_show_of_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path, "model-1")
    (tmp_path / "model-1.data-00000-of-00002").write_bytes(b"old")
    code, out, err = run("show", tmp_path, capsys=capsys)
    assert (code, err) == (0, "")
    assert out == (
        f"{tmp_path}   checkpoint of objects   8.0 kB\n"
        f"  the checkpoint {tmp_path}/model-1\n"
        "  model-1.index                484 bytes   6 tensors\n"
        "  model-1.data-00000-of-00001     7.5 kB\n"
        "  model-1.data-00000-of-00002    3 bytes\n"
        "\n"
        "  weights              3 tensors     3.4 kB\n"
        "  doubled              3 tensors     3.4 kB   look like weights stored twice\n"
        f'  load: tf.train.Checkpoint(...).restore("{tmp_path}/model-1")\n'
        f"  list: fastsm variables {tmp_path}/model-1\n"
        "\n"
        "note: no tensor lies in model-1.data-00000-of-00002\n"
        "note: 3 variables (3.4 kB) look stored twice: same size and checksum\n"
    )


def test_a_missing_shard_is_a_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path, "model-1")
    (tmp_path / "model-1.data-00000-of-00001").unlink()
    code, out, _ = run("show", tmp_path / "model-1", capsys=capsys)
    assert code == 0 and "note: model-1.data-00000-of-00001 is not there" in out
    assert "the object graph cannot be read: " in out


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--all"], "the options of saved_model_cli go with a SavedModel"),
        (["--tag_set", "serve"], "the options of saved_model_cli go with a SavedModel"),
        (["--tags", "serve"], "--tags goes with a SavedModel"),
        (["--ops"], "--ops goes with a SavedModel"),
        (["--fingerprint"], "--fingerprint goes with a SavedModel"),
    ],
)
def test_options_of_models_are_refused(
    words: list[str], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path, "model-1")
    code, out, err = run("show", tmp_path / "model-1", *words, capsys=capsys)
    assert (code, out) == (2, "")
    assert err == f"fastsm: {tmp_path}/model-1: is a checkpoint: {text}\n"


def test_edits_refuse_a_checkpoint(tmp_path: Path) -> None:
    put(tmp_path, "model-1")
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    for path in (tmp_path / "model-1", tmp_path / "model-1.index", tmp_path):
        with pytest.raises(RefusedError, match="is a checkpoint, not a model"):
            fastsm.retag(path, "serve", "gpu")
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before
