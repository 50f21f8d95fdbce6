"""Dedupe, repair, export and verify of checkpoints that no TensorFlow wrote, but could read:
made by hand, an oddity each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import fastsm
from fastsm.bundle.opened import Bundle

from .damage import FIXED32, header, shape
from .oracle import ROOT
from .tables import Maker, masked_crc, snappy, u32
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


# -- what becomes shorter while it is read --


def cut_after(path: Path, n_bytes: int, share: float) -> Callable[[int, int], None]:
    """A progress function that cuts the shard off, once so much is done."""
    shard = path / "variables" / "variables.data-00000-of-00001"

    def progress(done: int, total: int) -> None:
        if done >= share * total:
            os.truncate(shard, n_bytes)

    return progress


def test_a_shard_that_is_cut_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})  # one job after the other
    size = 40 << 20
    entries = {
        b"a": Entry(bytes(size)), b"b": Entry(bytes(size), offset=size),
        b"c": Entry(b"x" * size, offset=2 * size), b"d": Entry(b"x" * size, offset=3 * size),
    }  # fmt: skip
    path = make(tmp_path / "model", entries)
    report = fastsm.verify(path, progress=cut_after(path, size, 0.25))
    assert "shard-unreadable" in {f.id for f in report.findings}
    shutil.rmtree(path)
    make(path, entries)
    with pytest.raises(fastsm.FormatError, match="cannot be compared: a shard became shorter"):
        fastsm.dedupe(path, out=tmp_path / "out", progress=cut_after(path, 3 * size, 0.5))
    shutil.rmtree(path)
    make(path, entries)
    with pytest.raises(fastsm.FormatError, match="its shard became shorter while it was read"):
        fastsm.export_weights(path, tmp_path / "w.npz", progress=cut_after(path, size, 0.25))
    assert os.listdir(tmp_path) == ["model"]


def test_a_shard_that_is_cut_under_the_safetensors_library(tmp_path: Path) -> None:
    """It copies short tensors from where they lie: from the mapped file, that would be fatal."""
    pytest.importorskip("safetensors")
    entries = {b"a": Entry(bytes(1 << 20)), b"b": Entry(b"x" * 4000, offset=1 << 20)}
    path = make(tmp_path / "model", entries)
    done = subprocess.run(
        [sys.executable, "-c", CUT_EXPORT, path, tmp_path / "w.safetensors"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "CommitError\n", "")
    assert os.listdir(tmp_path) == ["model"]


CUT_EXPORT = """
import sys
from pathlib import Path
import fastsm
from tests.test_odd_checkpoints import cut_after
try:
    cut = cut_after(Path(sys.argv[1]), 1 << 10, 0.5)
    fastsm.export_weights(sys.argv[1], sys.argv[2], progress=cut)
except fastsm.FastsmError as e:
    print(type(e).__name__)
"""


# -- what cannot be opened --


@pytest.mark.parametrize("what", ["fifo", "folder", "loop"])
@pytest.mark.parametrize("name", ["variables.index", "variables.data-00000-of-00001"])
def test_what_is_no_file(what: str, name: str, tmp_path: Path) -> None:
    path = make(tmp_path / "model", {b"a": Entry(b"x"), b"b": Entry(b"x", offset=1)})
    file = path / "variables" / name
    file.unlink()
    {"fifo": os.mkfifo, "folder": os.mkdir, "loop": lambda p: p.symlink_to(name)}[what](file)
    words = "Too many levels of symbolic links" if what == "loop" else "not a regular file"
    for verb in (
        lambda: fastsm.dedupe(path, in_place=True),
        lambda: fastsm.export_weights(path, tmp_path / "w.npz"),
        lambda: fastsm.open(path).variables["a"].numpy(),
    ):
        with pytest.raises(fastsm.FormatError) as e:
            verb()
        assert str(e.value) == f"{file}: cannot be read: {words}"
    if name == "variables.index":
        with pytest.raises(fastsm.FormatError):
            _ = fastsm.open(path).variables_summary
    rule = "index-missing" if name == "variables.index" else "shard-unreadable"
    found = [f for f in fastsm.verify(path).findings if f.id == rule]
    assert [f.message for f in found] == [f"cannot be read: {words}"]


def test_variables_that_may_not_be_looked_into_are_not_absent(unprivileged: Path) -> None:
    variables = unprivileged / "variables"
    variables.chmod(0)
    try:
        for verb in (
            lambda: fastsm.dedupe(unprivileged, dry_run=True),
            lambda: fastsm.export_weights(unprivileged, unprivileged.parent / "w.npz"),
            lambda: len(fastsm.open(unprivileged).variables),
        ):
            with pytest.raises(fastsm.FormatError) as e:
                verb()
            index = variables / "variables.index"
            assert str(e.value) == f"{index}: cannot be read: Permission denied"
    finally:
        variables.chmod(0o755)


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A model of nobody's in particular, who the test is for the time."""
    with tempfile.TemporaryDirectory() as root:
        path = make(Path(root) / "model", {b"a": Entry(b"x"), b"b": Entry(b"x", offset=1)})
        if os.geteuid() != 0:
            yield path
            return
        Path(root).chmod(0o755)
        for p in [Path(root), *Path(root).rglob("*")]:
            os.chown(p, 65534, 65534)
        os.seteuid(65534)
        try:
            yield path
        finally:
            os.seteuid(0)


# -- dedupe --

A, B = bytes(range(100)), bytes(range(100, 200))

#: name -> (entries, shards, bytes afterwards; None: nothing to do, findings that stay)
ODD: dict[str, tuple[dict[bytes, Entry], int, int | None, set[str]]] = {
    "unknown fields": (
        {
            b"a": Entry(A, more=delimited(99, b"xyz")),
            b"b": Entry(A, offset=100, more=integer(77, 5)), b"c": Entry(B, offset=200),
        }, 1, 200, set(),
    ),
    "shared already": (
        {
            b"a": Entry(A), b"b": Entry(A), b"c": Entry(A, offset=100), b"d": Entry(A, offset=100),
        }, 1, 100, set(),
    ),
    "overlapping": (
        {
            b"a": Entry(bytes(100)), b"b": Entry(bytes(40), offset=80),
            b"c": Entry(B, offset=200), b"d": Entry(B, offset=300),
        }, 1, 220, {"entry-overlap"},
    ),
    "empty tensors": (
        {
            b"a": Entry(b"", dims=(0,)), b"b": Entry(b"", dims=(0,), offset=50),
            b"c": Entry(A, offset=50), b"d": Entry(A, offset=150),
            b"e": Entry(b"", offset=250, dims=(0, 3)),
        }, 1, 100, set(),
    ),
    "nothing but empty tensors": (
        {b"a": Entry(b"", dims=(0,)), b"b": Entry(b"", dims=(0,))}, 1, None, set(),
    ),
    "aligned": (
        {b"a": Entry(A), b"b": Entry(A, offset=128), b"c": Entry(B, offset=256)}, 1, 200, set(),
    ),
    "a shard loses all": (
        {
            b"a": Entry(A), b"b": Entry(B, offset=100), b"c": Entry(A, 1),
            b"d": Entry(B, 1, 100), b"e": Entry(b"z" * 9, 2), b"f": Entry(A, 2, 9),
        }, 3, 209, set(),
    ),
    "keys of 100 kB": (
        {
            b"k" * 100_000 + b"1": Entry(A), b"k" * 100_000 + b"2": Entry(A, offset=100),
        }, 1, 100, set(),
    ),
    "entries of 2 MB": (
        {b"a": Entry(A, more=delimited(99, bytes(2 << 20))), b"b": Entry(A, offset=100)},
        1, 100, set(),
    ),
    "equal bytes of another shape or dtype": (
        {
            b"a": Entry(A, dims=(25,), dtype=FLOAT), b"b": Entry(A, 0, 100, (5, 5), FLOAT),
            b"c": Entry(A, 0, 200, (25,), 3),
        }, 1, None, set(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_dedupe_of(name: str, tmp_path: Path) -> None:
    entries, n_shards, after, stays = ODD[name]
    path = make(tmp_path / "model", entries, n_shards=n_shards)
    before, rest = values(path), {k: e.more for k, e in entries.items() if e.more}
    result = fastsm.dedupe(path, out=tmp_path / "out", sync=False)
    assert result.changed == (after is not None)
    assert values(tmp_path / "out") == before
    new = Bundle.open(str(tmp_path / "out" / "variables" / "variables"))
    for key, more in rest.items():
        assert new.index.value(new.index.keys().index(key)).endswith(more)
    files = list((tmp_path / "out" / "variables").glob("*.data-*"))
    assert {f.name for f in files} == {new.shard_name(i) for i in range(new.n_shards)}
    if after is not None:
        assert sum(f.stat().st_size for f in files) == after == result.after["bytes"]
        assert new.index.twins() == []
    found = {f.id for f in fastsm.verify(tmp_path / "out").findings}
    # Its variables are not the model's: keys and object graph are not there.
    assert found - {"restore-key", "object-graph", "fingerprint-stale"} == stays


def test_dedupe_of_an_index_under_snappy(tmp_path: Path) -> None:
    entries = {b"a": Entry(A), b"b": Entry(A, offset=100)}
    maker = Maker([[(b"", header(1)), *((k, e.value()) for k, e in entries.items())]])
    maker.blocks[0] = (snappy(maker.blocks[0][0]), 1)
    path = make(tmp_path / "model", entries, index=maker.write())
    fastsm.dedupe(path, in_place=True, sync=False)
    assert values(path) == {b"a": A, b"b": A}
    assert Bundle.open(str(path / "variables" / "variables")).index.total_bytes == 200
