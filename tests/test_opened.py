"""A checkpoint that is open: its header, its entries' own bytes, its slices, its shards."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastsm
from fastsm import _core
from fastsm.bundle import index_path
from fastsm.bundle.opened import Bundle
from fastsm.errors import CoreError, FormatError, MissingError, UnsupportedError
from fastsm.source import from_bytes

from .conftest import CorpusEntry, ModelFactory
from .oracle import ROOT
from .wire import delimited, integer, varint

RANKER = str(ROOT / "examples" / "ranker" / "1" / "variables" / "variables")

int64 = st.integers(-(1 << 63), (1 << 63) - 1)


def table(*entries: tuple[bytes, bytes]) -> bytes:
    """An index file of one data block, with true checksums: keys in the order given."""

    def block(rows: list[tuple[bytes, bytes]]) -> bytes:
        body = b"".join(
            varint(0) + varint(len(k)) + varint(len(v)) + k + v for k, v in rows
        )
        offsets, at = [], 0
        for k, v in rows:
            offsets.append(at)
            at += len(varint(len(k))) + len(varint(len(v))) + 1 + len(k) + len(v)
        offsets = offsets or [0]
        body += b"".join(o.to_bytes(4, "little") for o in offsets)
        body += len(offsets).to_bytes(4, "little") + b"\0"
        return body + masked_crc32c(body).to_bytes(4, "little")

    data = block(list(entries))
    meta = block([])
    handle = varint(0) + varint(len(data) - 5)
    index = block([(max((k for k, _ in entries), default=b"") + b"\xff", handle)])
    footer = varint(len(data)) + varint(len(meta) - 5)
    footer += varint(len(data) + len(meta)) + varint(len(index) - 5)
    magic = bytes.fromhex("57fb808b247547db")
    return data + meta + index + footer.ljust(40, b"\0") + magic


def masked_crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def header(*, n_shards: int = 1, endianness: int = 0, version: bytes | None = None) -> bytes:
    version = integer(1, 1) if version is None else version
    return integer(1, n_shards) + integer(2, endianness) + delimited(3, version)


def opened(folder: Path, *entries: tuple[bytes, bytes]) -> Bundle:
    (folder / "b.index").write_bytes(table(*entries))
    return Bundle.open(str(folder / "b"))


# -- the index -------------------------------------------------------------------------


def test_an_open_bundle() -> None:
    bundle = Bundle.open(RANKER, path="examples/ranker/1")
    assert bundle.prefix == RANKER and bundle.path == "examples/ranker/1"
    assert bundle.n_shards == 1 and bundle.shard_name(0) == "variables.data-00000-of-00001"
    assert bundle.folder == str(Path(RANKER).parent)
    assert bundle.shard(0) is bundle.shard(0)
    assert bundle.shard(0).identity.size == Path(bundle.shard_path(0)).stat().st_size
    assert bundle.stray_shards() == []
    bundle.check_readable()
    assert repr(bundle) == "<Bundle examples/ranker/1: 7 entries>"


def test_entries_keep_their_own_bytes(tmp_path: Path) -> None:
    a = integer(1, 1) + delimited(2) + integer(4, 8) + integer(5, 4) + integer(99, 7)
    index = opened(tmp_path, (b"", header()), (b"a", a), (b"b", b"")).index
    assert index.keys() == [b"a", b"b"]
    assert [index.value(i) for i in range(2)] == [a, b""]
    assert index.header_value() == header()
    assert index.header() == (1, 0, True, 1, 0, False)
    assert index.shards() == {0}
    with pytest.raises(IndexError):
        index.value(2)
    with pytest.raises(IndexError):
        index.slices(2)


def test_an_index_without_a_header(tmp_path: Path) -> None:
    index = opened(tmp_path, (b"a", b"")).index
    assert index.header_value() == b"" and not index.has_header


def test_slices_that_an_entry_lists(tmp_path: Path) -> None:
    extents = [delimited(1, integer(1, 4), integer(2, 6)), delimited(1)]
    entry = delimited(7, *extents) + delimited(7)
    index = opened(tmp_path, (b"", header()), (b"w", entry), (b"x", integer(1, 1))).index
    assert index.slices(0) == [((4, 6), (0, -1)), ()]
    assert index.slices(1) == []
    assert index.shards() == {0}


@pytest.mark.parametrize("name", ["shards", "sliced_half", "partitioned"])
def test_every_slice_that_is_listed_is_there(name: str, model: ModelFactory) -> None:
    index = Bundle.open(index_path(str(model(name))).removesuffix(".index")).index
    keys = index.keys()
    stored = {k for k in keys if k.startswith(b"\0")}
    listed = set()
    for i, key in enumerate(keys):
        listed |= {_core.slice_key(key, extents) for extents in index.slices(i)}
    assert stored and stored == listed
    for key in stored:
        parsed = _core.parse_slice_key(key)
        assert parsed is not None and _core.slice_key(*parsed) == key
        assert parsed[0] in keys


# -- keys of slices --------------------------------------------------------------------


@given(st.binary(max_size=40), st.lists(st.tuples(int64, int64), max_size=8))
def test_slice_keys_there_and_back(name: bytes, extents: list[tuple[int, int]]) -> None:
    key = _core.slice_key(name, extents)
    assert _core.parse_slice_key(key) == (name, tuple(extents))
    assert all(_core.parse_slice_key(key[:n]) is None for n in range(len(key)))


@given(st.binary(max_size=60))
def test_hostile_slice_keys(key: bytes) -> None:
    for tried in (key, b"\0" + key, b"\0w\0\x01\x01" + key):
        parsed = _core.parse_slice_key(tried)
        assert parsed is None or _core.slice_key(*parsed) == tried


def test_the_forms_of_a_whole_dimension() -> None:
    assert _core.slice_key(b"w", [(0, -1)]) == b"\0w\0\x01\x01\x01\x80\x7f"
    assert _core.slice_key(b"w", [(0, 50000)]) == b"\0w\0\x01\x01\x01\x80\xe0\xc3\x50"
    assert _core.slice_key(b"\0\xff", []) == b"\0\0\xff\xff\0\0\x01\0"


# -- elements --------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=300), max_size=20), st.binary(max_size=4))
def test_string_elements(strings: list[bytes], before: bytes) -> None:
    stored = b"".join(varint(len(s)) for s in strings) + b"crc!" + b"".join(strings)
    source = from_bytes(before + stored + b"behind")
    at, n = len(before), len(strings)
    assert _core.string_elements(source, at, len(stored), n) == strings
    for size in range(len(stored)):
        with pytest.raises(CoreError):
            _core.string_elements(source, at, size, n)


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_variant_elements(variants: list[bytes]) -> None:
    stored = b"".join(varint(len(v)) + v + b"crc!" for v in variants)
    source = from_bytes(stored)
    n = len(variants)
    assert _core.string_elements(source, 0, len(stored), n, variant=True) == variants
    with pytest.raises(CoreError):
        _core.string_elements(source, 0, len(stored), n + 1, variant=True)


def test_more_elements_than_bytes_are_refused_at_once() -> None:
    with pytest.raises(CoreError):
        _core.string_elements(from_bytes(b"\0" * 8), 0, 8, 1 << 62)


# -- what is no checkpoint to read -----------------------------------------------------


def test_no_index(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"b\.index: there is nothing here$"):
        Bundle.open(str(tmp_path / "b"))


@pytest.mark.parametrize("data", [b"", b"x" * 100])
def test_no_table(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "b.index").write_bytes(data)
    with pytest.raises(FormatError, match=r"b\.index: "):
        Bundle.open(str(tmp_path / "b"))


def test_a_folder_for_an_index(tmp_path: Path) -> None:
    (tmp_path / "b.index").mkdir()
    with pytest.raises(FormatError, match="cannot be read: not a regular file"):
        Bundle.open(str(tmp_path / "b"))


@pytest.mark.parametrize(
    ("fields", "error", "text"),
    [
        ({"endianness": 1}, UnsupportedError, "is a big-endian checkpoint"),
        ({"version": integer(2, 2)}, UnsupportedError, "wants a reader of checkpoint version 2"),
        ({"version": integer(3, 1)}, UnsupportedError, "disallows readers of checkpoint version 1"),
        ({"version": delimited(3, b"\x05\x01")}, UnsupportedError, "disallows readers"),
        ({"version": integer(1, -1)}, UnsupportedError, "producer version -1 is below 0"),
        ({"n_shards": 0}, FormatError, "says 0 shards"),
        ({"n_shards": -1}, FormatError, "says -1 shards"),
    ],
)
def test_headers_that_are_refused(
    tmp_path: Path, fields: dict[str, object], error: type[Exception], text: str
) -> None:
    bundle = opened(tmp_path, (b"", header(**fields)))  # type: ignore[arg-type]
    with pytest.raises(error, match=text):
        bundle.check_readable()


@pytest.mark.parametrize("version", [b"", integer(1, 7), integer(3, 2), integer(2, 1)])
def test_versions_that_are_read(tmp_path: Path, version: bytes) -> None:
    opened(tmp_path, (b"", header(version=version))).check_readable()


def test_no_header(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="has no header"):
        opened(tmp_path, (b"a", b"")).check_readable()


def test_a_missing_shard(tmp_path: Path) -> None:
    for suffix in (".index", ".data-00000-of-00001"):
        shutil.copy(RANKER + suffix, tmp_path)
    bundle = Bundle.open(str(tmp_path / "variables"))
    (tmp_path / "variables.data-00000-of-00001").rename(
        tmp_path / "variables.data-00000-of-00002"
    )
    with pytest.raises(MissingError) as caught:
        bundle.shard(0)
    assert str(caught.value) == (
        f"{tmp_path}/variables.data-00000-of-00001: there is nothing here; "
        "the index says 1 shard, found: variables.data-00000-of-00002"
    )
    assert bundle.stray_shards() == ["variables.data-00000-of-00002"]


def test_names_that_are_no_shards_are_not_stray(tmp_path: Path) -> None:
    for suffix in (".index", ".data-00000-of-00001"):
        shutil.copy(RANKER + suffix, tmp_path)
    for name in ("variables.data-x-of-00001", "other.data-00000-of-00001", "variables.data-1"):
        (tmp_path / name).touch()
    assert Bundle.open(str(tmp_path / "variables")).stray_shards() == []


def test_checkpoints_of_the_corpus(corpus_checkpoint: CorpusEntry) -> None:
    if not Path(f"{corpus_checkpoint.path}.index").exists():
        with pytest.raises(fastsm.MissingError):
            Bundle.open(str(corpus_checkpoint.path))
        return
    bundle = Bundle.open(str(corpus_checkpoint.path))
    bundle.check_readable()
    assert bundle.index.n_problems == 0
