"""Dedupe, repair, export and verify of checkpoints that no TensorFlow wrote, but could read:
made by hand, an oddity each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import fastsm
from fastsm.bundle.opened import Bundle

from .damage import FIXED32, header, shape
from .oracle import ROOT
from .tables import Maker, masked_crc, u32
from .wire import delimited, integer, tag

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
UINT8, FLOAT = 4, 1


class Entry(NamedTuple):
    """An entry of bytes: where they lie, and what is said of them."""

    data: bytes
    shard: int = 0
    offset: int = 0
    dims: tuple[int, ...] | None = None
    dtype: int = UINT8
    more: bytes = b""

    def value(self) -> bytes:
        dims = (len(self.data),) if self.dims is None else self.dims
        return (
            integer(1, self.dtype) + delimited(2, shape(*dims))
            + (integer(3, self.shard) if self.shard else b"")
            + (integer(4, self.offset) if self.offset else b"")
            + (integer(5, len(self.data)) if self.data else b"")
            + tag(6, FIXED32) + u32(masked_crc(self.data)) + self.more
        )  # fmt: skip


def make(
    folder: Path, entries: dict[bytes, Entry], *, n_shards: int = 1, index: bytes | None = None
) -> Path:
    """A model with these variables, around the graph of another."""
    shutil.copytree(EXAMPLES / "ranker" / "1", folder, ignore=lambda *_: ["variables"])
    variables = folder / "variables"
    variables.mkdir()
    shards = [bytearray() for _ in range(n_shards)]
    for e in entries.values():
        data = shards[e.shard]
        data += bytes(max(0, e.offset + len(e.data) - len(data)))
        data[e.offset : e.offset + len(e.data)] = e.data
    for i, data in enumerate(shards):
        (variables / f"variables.data-{i:05d}-of-{n_shards:05d}").write_bytes(data)
    rows = [(b"", header(n_shards)), *((k, e.value()) for k, e in sorted(entries.items()))]
    (variables / "variables.index").write_bytes(Maker([rows]).write() if index is None else index)
    return folder


def values(path: Path) -> dict[bytes, bytes]:
    opened = Bundle.open(str(path / "variables" / "variables"))
    out = {}
    for row, key in enumerate(opened.index.keys()):
        _, _, shard, offset, size, _, _ = opened.index.entry(row)
        out[key] = opened.shard(shard).source().read(offset, size) if size else b""
    return out


# -- many shards --


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 300 shards, in which each tensor is stored twice."""
    entries = {b"k%05d" % i: Entry(bytes([i // 2 % 256]) * 8, i) for i in range(300)}
    return make(tmp_path_factory.mktemp("many") / "model", entries, n_shards=300)


def limited(path: Path, soft: int, hard: int, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a verb in a process that may have so many files open."""
    command = f"ulimit -Sn {soft}; ulimit -Hn {hard}; exec {sys.executable} -m fastsm " + " ".join(
        words
    )
    return subprocess.run(
        command, shell=True, executable="/bin/bash", cwd=path,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip


EDITS = {
    "dedupe": ("dedupe", "model", "--out", "out", "--no-sync", "--quiet"),
    "export": ("export-weights", "model", "out.npz", "--no-sync", "--quiet"),
    "export-safetensors": ("export-weights", "model", "out.safetensors", "--no-sync", "--quiet"),
}


@pytest.mark.parametrize("name", EDITS)
def test_more_shards_than_open_files(name: str, many: Path, tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    (tmp_path / "model").symlink_to(many)
    done = limited(tmp_path, 64, 1024, *EDITS[name])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    if name == "dedupe":
        assert values(tmp_path / "out") == values(many)
        assert len(os.listdir(tmp_path / "out" / "variables")) == 151


@pytest.mark.parametrize("name", EDITS)
@pytest.mark.parametrize("hard", [64, 20])
def test_more_shards_than_the_system_lets_be_open(
    name: str, hard: int, many: Path, tmp_path: Path
) -> None:
    pytest.importorskip("safetensors")
    (tmp_path / "model").symlink_to(many)
    done = limited(tmp_path, min(64, hard), hard, *EDITS[name])
    if hard > 20:
        what = "cannot be opened too: more files than a process may have open here"
        assert done.returncode == 7 and what in done.stderr
    assert done.returncode in (6, 7) and "ulimit -n" in done.stderr
    assert not [n for n in os.listdir(tmp_path) if n.startswith("out")]


def test_verify_opens_one_shard_after_the_other(many: Path) -> None:
    done = limited(many.parent, 12, 12, "verify", "model", "--json")
    assert done.returncode == 1  # the graph around it is another's
    assert "shard-unreadable" not in done.stdout and '"shards": 300' in done.stdout


# -- names --


@pytest.mark.parametrize("to", ["npz", "safetensors"])
@pytest.mark.parametrize(
    "keys",
    [
        (b"../../a", b"/b", b"a\\b"), (b"a\0", b"a"), (b"A", b"a"), (b"file", b"self", b"f"),
        (b"\xf0\x9f\x98\x80" * 15_999,), (b"esc\x1b[31m", b"\xff"),
    ],
)  # fmt: skip
def test_names_of_any_kind(to: str, keys: tuple[bytes, ...], tmp_path: Path) -> None:
    entries = {k: Entry(bytes([i]) * 8, offset=8 * i) for i, k in enumerate(keys)}
    path = make(tmp_path / "model", entries)
    result = fastsm.export_weights(path, tmp_path / f"w.{to}", sync=False)
    read = np.load if to == "npz" else pytest.importorskip("safetensors.numpy").load_file
    found = read(tmp_path / f"w.{to}")
    stored = {t.key.encode(errors="surrogateescape"): found[t.name] for t in result.tensors}
    assert {k: a.tobytes() for k, a in stored.items()} == values(path)


@pytest.mark.parametrize(
    ("to", "keys", "problem"),
    [
        ("npz", (b"a", b"a.npy"), 'numpy takes "a.npy" for "a"'),
        ("safetensors", (b"__metadata__",), 'safetensors keeps the name "__metadata__" for itself'),
        ("npz", (b"x\xff", b"x\\xff"), 'two variables would have the name "x\\xff"'),
        ("npz", (b"x" * 16_001,), "a variable's name has more than 16,000 characters"),
    ],
)
def test_names_that_a_reader_would_mistake(
    to: str, keys: tuple[bytes, ...], problem: str, tmp_path: Path
) -> None:
    pytest.importorskip("safetensors")
    entries = {k: Entry(bytes(8), offset=8 * i) for i, k in enumerate(keys)}
    path = make(tmp_path / "model", entries)
    with pytest.raises(fastsm.UnsupportedError) as e:
        fastsm.export_weights(path, tmp_path / f"w.{to}", sync=False)
    assert e.value.problem == problem
    assert os.listdir(tmp_path) == ["model"]
