"""variables.index, read without a shard: every entry as TensorFlow sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

import fastsm
from fastsm import _core
from fastsm.bundle import index_path, summary
from fastsm.source import File

from .conftest import CorpusEntry, ModelFactory
from .models import MODELS
from .oracle import Oracle

WITH_VARIABLES = [
    "two_signatures", "keras_export", "dtypes", "tensor_list", "shards", "sliced_half",
    "many_variables", "partitioned", "train_and_serve_ref", "no_variables",
]  # fmt: skip


def check_entries(index_file: Path, path: Path, oracle: Oracle) -> None:
    index = _core.BundleIndex(File(str(index_file)).source())
    want = oracle.index(path)
    assert index.n_shards == want.n_shards and index.n_problems == 0
    assert len(index) == len(want.entries)
    for i, entry in enumerate(want.entries):
        dtype, shape, shard, offset, size, crc, slices = index.entry(i)
        assert index.key(i).decode("utf-8", "surrogateescape") == entry.key
        assert (shard, offset, size, crc, slices) == (
            entry.shard, entry.offset, entry.size, entry.crc32c, entry.n_slices,
        )  # fmt: skip
        assert list(shape or ()) == list(entry.shape or ())
        assert dtype > 0
    assert index.total_bytes == sum(e.size for e in want.entries)


@pytest.mark.parametrize("name", WITH_VARIABLES)
def test_entries_are_tensorflows(name: str, model: ModelFactory, oracle: Oracle) -> None:
    assert name in MODELS
    path = model(name)
    check_entries(Path(index_path(str(path))), path, oracle)


def test_entries_of_the_corpus(corpus_model: CorpusEntry, oracle: Oracle) -> None:
    file = Path(index_path(str(corpus_model.path)))
    if not file.exists():
        assert not corpus_model.catalog["bundle_entries"]
        return
    check_entries(file, corpus_model.path, oracle)


def test_keras_exports_store_weights_twice(model: ModelFactory) -> None:
    found = summary(str(model("keras_export")))
    assert found is not None and found.doubled > 0 and not found.problems
    assert found.doubled_bytes * 2 <= found.n_bytes


def test_no_index_is_none(tmp_path: Path) -> None:
    assert summary(str(tmp_path)) is None


@pytest.mark.parametrize("data", [b"", b"x" * 47, b"x" * 4000])
def test_no_table_at_all(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "variables").mkdir()
    Path(index_path(str(tmp_path))).write_bytes(data)
    with pytest.raises(fastsm.FormatError, match=r"variables\.index"):
        summary(str(tmp_path))


def test_damage_is_told_and_the_rest_counted(model_copy: ModelFactory) -> None:
    path = model_copy("many_variables")
    file = Path(index_path(str(path)))
    whole = summary(str(path))
    data = bytearray(file.read_bytes())
    data[1000] ^= 1  # in the first of two data blocks
    file.write_bytes(data)
    damaged = summary(str(path))
    assert whole is not None and damaged is not None
    assert len(damaged.problems) >= 1 and "checksum does not match" in damaged.problems[0]
    assert 0 < damaged.n_variables < whole.n_variables
