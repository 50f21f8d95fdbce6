"""Exported weights: TensorFlow's values, whole files or none, and what no format can hold."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import fastsm
from fastsm.commit.single import write_new

from .conftest import CorpusEntry, ModelFactory
from .crash import FailAt
from .oracle import Oracle

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
RANKER = EXAMPLES / "ranker" / "1"
KEY = "/.ATTRIBUTES/VARIABLE_VALUE"

#: Of the model "dtypes": what neither format holds, and what npz does not.
NEITHER = {"words", "int4"}
NOT_NPZ = {"numeric/0", "float8"}  # the first is bfloat16


def load(path: Path) -> dict[str, Any]:
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    return load_file(path)


def digest(array: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


@pytest.mark.parametrize("to", ["npz", "safetensors"])
@pytest.mark.parametrize("name", ["keras_export", "partitioned", "shards", "many_variables"])
def test_values_are_tensorflow_s(
    name: str, to: str, model: ModelFactory, tmp_path: Path, oracle: Oracle
) -> None:
    out = tmp_path / f"w.{to}"
    result = fastsm.export_weights(model(name), out, names="key", sync=False)
    want = oracle.tensors(model(name))
    want.pop("_CHECKPOINTABLE_OBJECT_GRAPH", None)
    got = load(out)
    assert {k: (str(a.dtype), a.shape, digest(a)) for k, a in got.items()} == {
        k: (t.dtype, t.shape, t.sha256) for k, t in want.items()
    }
    assert len(result.tensors) == len(want) and result.bytes == sum(a.nbytes for a in got.values())


@pytest.mark.parametrize("to", ["npz", "safetensors"])
def test_every_corpus_checkpoint_that_a_format_holds(
    corpus_checkpoint: CorpusEntry, to: str, tmp_path: Path, oracle: Oracle
) -> None:
    prefix = corpus_checkpoint.path
    if not Path(f"{prefix}.index").exists():
        return
    out = tmp_path / f"w.{to}"
    try:
        fastsm.export_weights(prefix, out, names="key", sync=False)
    except fastsm.UnsupportedError as e:
        assert "cannot hold" in e.problem and not out.exists()
        return
    want = oracle.tensors(prefix)
    want.pop("_CHECKPOINTABLE_OBJECT_GRAPH", None)
    assert {k: digest(a) for k, a in load(out).items()} == {k: t.sha256 for k, t in want.items()}


def test_dtypes_that_a_format_cannot_hold_are_refused(
    model: ModelFactory, tmp_path: Path
) -> None:
    path = model("dtypes")
    for to in ("npz", "safetensors"):
        with pytest.raises(fastsm.UnsupportedError) as e:
            fastsm.export_weights(path, tmp_path / f"w.{to}", names="key")
        assert e.value.problem.startswith(f'{to} cannot hold "')
    with pytest.raises(fastsm.UnsupportedError) as e:
        fastsm.export_weights(path, tmp_path / "w.npz", names="key", only="numeric/0/*")
    assert str(e.value) == (
        f'{path}: npz cannot hold "numeric/0{KEY}", which is bfloat16\n'
        "  --only names those to export; safetensors holds more dtypes"
    )
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("to", ["npz", "safetensors"])
def test_every_dtype_that_a_format_holds(
    to: str, model: ModelFactory, tmp_path: Path, oracle: Oracle
) -> None:
    path = model("dtypes")
    want = oracle.tensors(path)
    n = 0
    for i, key in enumerate(fastsm.open(path).variables):
        try:
            fastsm.export_weights(path, tmp_path / f"{i}.{to}", names="key", only=key, sync=False)
        except fastsm.UnsupportedError:
            odd = NEITHER | (NOT_NPZ if to == "npz" else {"numeric/13"})  # complex128
            assert key.removesuffix(KEY) in odd
            continue
        n += 1
        if to == "safetensors" and key.removesuffix(KEY) in NOT_NPZ:
            continue  # numpy has no such dtype: torch or jax read them
        [array] = load(tmp_path / f"{i}.{to}").values()
        assert (str(array.dtype), array.shape) == (want[key].dtype, want[key].shape)
        assert digest(array) == want[key].sha256
    assert n > 15


def test_names_by_object_or_by_key(tmp_path: Path) -> None:
    fastsm.export_weights(RANKER, tmp_path / "o.npz", sync=False)
    fastsm.export_weights(RANKER, tmp_path / "k.npz", names="key", sync=False)
    assert sorted(load(tmp_path / "o.npz")) == [
        f"{name}[{i}]" for name in ("_all_variables", "variables") for i in range(3)
    ]
    assert sorted(load(tmp_path / "k.npz")) == [
        f"{name}/{i}{KEY}" for name in ("_all_variables", "variables") for i in range(3)
    ]


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    for to in ("npz", "safetensors"):
        fastsm.export_weights(RANKER, tmp_path / f"a.{to}", sync=False)
        fastsm.export_weights(RANKER, tmp_path / f"b.{to}", sync=False)
        assert (tmp_path / f"a.{to}").read_bytes() == (tmp_path / f"b.{to}").read_bytes()


def test_large_tensors_go_a_part_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fastsm.export_weights(RANKER, tmp_path / "a.npz", sync=False)
    monkeypatch.setattr("fastsm.export._WINDOW", 100)
    seen: list[tuple[int, int]] = []
    fastsm.export_weights(
        RANKER, tmp_path / "b.npz", sync=False, progress=lambda *now: seen.append(now)
    )
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert len(seen) > 50 and seen[-1][0] == seen[-1][1]


# -- what it refuses --


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    out = tmp_path / "w.npz"
    out.write_bytes(b"mine")
    with pytest.raises(fastsm.RefusedError) as e:
        fastsm.export_weights(RANKER, out)
    assert str(e.value) == f"{out}: is there already\n  --force writes over it"
    assert out.read_bytes() == b"mine"
    out.chmod(0o640)
    fastsm.export_weights(RANKER, out, force=True)
    assert len(load(out)) == 6 and out.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["w.npz"]


@pytest.mark.parametrize("to", ["npz", "safetensors"])
def test_the_file_has_the_mode_of_any_new_one(to: str, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"")
    fastsm.export_weights(RANKER, tmp_path / f"w.{to}")
    assert (tmp_path / f"w.{to}").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("names", ["object", "key"])
@pytest.mark.parametrize(
    "pattern", ["taste/*", "_all_variables/[01]", "_all_variables/[01]/.ATTRIBUTES/*"]
)
def test_a_pattern_fits_keys_and_names(names: str, pattern: str, tmp_path: Path) -> None:
    done = fastsm.export_weights(RANKER, tmp_path / "w.npz", names=names, only=pattern)
    with np.load(tmp_path / "w.npz") as file:
        shapes = sorted(file[name].shape for name in file.files)
    assert shapes == ([(4, 8), (4, 8), (8,), (8,)] if pattern == "taste/*" else [(4, 8), (8,)])
    assert done.warnings == []


def test_calls_that_are_wrong(tmp_path: Path) -> None:
    with pytest.raises(fastsm.UsageError, match="its ending names no format"):
        fastsm.export_weights(RANKER, tmp_path / "w")
    with pytest.raises(fastsm.UsageError, match="the formats are npz, safetensors, not 'hdf5'"):
        fastsm.export_weights(RANKER, tmp_path / "w", to="hdf5")
    with pytest.raises(fastsm.UsageError, match="names: one of object, key, not 'keras'"):
        fastsm.export_weights(RANKER, tmp_path / "w.npz", names="keras")
    with pytest.raises(fastsm.MissingError, match="no variable fits 'nope'"):
        fastsm.export_weights(RANKER, tmp_path / "w.npz", only="nope")
    with pytest.raises(fastsm.RefusedError, match="no folder"):
        fastsm.export_weights(RANKER, tmp_path / "no" / "w.npz")
    with pytest.raises(fastsm.RefusedError, match="is there, and is not a file"):
        fastsm.export_weights(RANKER, tmp_path, to="npz", force=True)
    with pytest.raises(fastsm.RefusedError, match="lies inside the model"):
        fastsm.export_weights(RANKER, RANKER / "w.npz")
    assert os.listdir(tmp_path) == []


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(fastsm.BackendMissingError) as e:
        fastsm.export_weights(RANKER, tmp_path / "w.safetensors")
    assert str(e.value) == (
        "the safetensors package is not installed\n  pip install 'fastsm[safetensors]'"
    )


@pytest.mark.parametrize("to", ["npz", "safetensors"])
def test_a_damaged_tensor_is_not_exported(to: str, tmp_path: Path) -> None:
    path = Path(shutil.copytree(RANKER, tmp_path / "model"))
    data = path / "variables" / "variables.data-00000-of-00001"
    damaged = bytearray(data.read_bytes())
    damaged[4000] ^= 1
    data.write_bytes(damaged)
    with pytest.raises(fastsm.FormatError, match="checksum"):
        fastsm.export_weights(path, tmp_path / f"w.{to}")
    assert os.listdir(tmp_path) == ["model"]


# -- the file appears whole or not at all --


def test_a_failure_at_any_call_leaves_no_part_of_a_file(tmp_path: Path) -> None:
    def fill(path: str) -> None:
        Path(path).write_bytes(b"new")

    out = tmp_path / "out"
    for force in (False, True):
        for at in range(1, 200):
            if force:
                out.write_bytes(b"old")
            system = FailAt(at, OSError(5, "Input/output error"))
            try:
                write_new(str(out), fill, force=force, system=system)
            except fastsm.CommitError:
                pass
            assert not out.exists() or out.read_bytes() in ({b"old", b"new"} if force else {b"new"})
            if not system.failed:
                break
            # What was left is cleared away by the next try.
            write_new(str(out), fill, force=True)
            assert out.read_bytes() == b"new" and os.listdir(tmp_path) == ["out"]
            out.unlink()
        assert at > 5
        out.unlink()


def test_a_damaged_index_is_no_smaller_checkpoint(model_copy: ModelFactory, tmp_path: Path) -> None:
    """A block that is lost takes keys with it: what is left is not all."""
    path = model_copy("many_variables")
    index = path / "variables" / "variables.index"
    data = bytearray(index.read_bytes())
    data[30] ^= 1
    index.write_bytes(data)
    assert len(fastsm.open(path).variables) > 1
    with pytest.raises(fastsm.FormatError) as e:
        fastsm.export_weights(path, tmp_path / "w.npz")
    assert str(e.value) == f"{index}: holds a block whose checksum does not match (byte 0)"
    assert not (tmp_path / "w.npz").exists()


def test_the_files_of_a_checkpoint_stay(tmp_path: Path) -> None:
    model = Path(shutil.copytree(RANKER, tmp_path / "model"))
    alone = Path(shutil.copytree(RANKER / "variables", tmp_path / "alone"))
    prefix, data = "variables", "variables.data-00000-of-00001"
    (tmp_path / "link.npz").symlink_to(alone / data)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*.*-of-*")}
    for out in (alone / data, alone / "variables.index", tmp_path / "link.npz"):
        with pytest.raises(fastsm.RefusedError) as e:
            fastsm.export_weights(alone / prefix, out, to="npz", force=True)
        assert str(e.value) == f"{out}: is a file of the checkpoint {alone / prefix}"
    with pytest.raises(fastsm.RefusedError, match="lies inside the model"):
        fastsm.export_weights(model / "variables" / prefix, model / "variables" / "w.npz")
    assert {p: p.read_bytes() for p in tmp_path.rglob("*.*-of-*")} == before
    fastsm.export_weights(alone / prefix, alone / "w.npz", sync=False)
    assert len(np.load(alone / "w.npz")) == 6
