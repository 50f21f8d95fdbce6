"""Sources and readers: bytes at offsets, fields of messages, and where an error is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsm import _core
from fastsm.errors import CoreError, FormatError
from fastsm.source import (
    FIXED32,
    FIXED64,
    LEN,
    MAX_TEXT,
    PATCH,
    VARINT,
    File,
    Identity,
    Reader,
    Source,
    from_bytes,
    last,
    merged,
    pack_pieces,
    signed,
    slices,
)

from .wire import GROUP, delimited, integer, tag, varint

# -- files -------------------------------------------------------------------------


def test_a_file_is_a_source(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"0123456789")
    source = File(str(path)).source()  # the source keeps the file open
    assert (source.size, len(source), source.read(3, 4)) == (10, 1, b"3456")
    assert source.read(10, 0) == b""


def test_an_empty_file_has_no_pieces(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.touch()
    source = File(str(path)).source()
    assert (source.size, len(source), source.read(0, 0)) == (0, 0, b"")


def test_a_file_stays_what_it_was_when_opened(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")
    source = File(str(path)).source()
    (tmp_path / "g").write_bytes(b"new bytes")
    os.replace(tmp_path / "g", path)
    assert source.read(0, source.size) == b"old"


def test_a_file_that_becomes_shorter(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * 100)
    source = File(str(path)).source()
    os.truncate(path, 40)
    with pytest.raises(CoreError, match="became shorter") as raised:
        source.read(30, 20)
    assert (raised.value.kind, raised.value.offset) == ("CHANGED", 40)


def test_a_file_is_closed_with_its_last_source(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    file = File(str(path))
    fd, source = file.fd, file.source()
    del file
    os.fstat(fd)
    del source
    with pytest.raises(OSError):
        os.fstat(fd)


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        File(str(tmp_path))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="not a regular file"):  # and no waiting
        File(str(tmp_path / "pipe"))
    with pytest.raises(FileNotFoundError):
        File(str(tmp_path / "none"))


def test_identity_tells_versions_apart(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    one, same = Identity(os.stat(path)), Identity(os.stat(path))
    assert one == same and hash(one) == hash(same)
    os.utime(path, ns=(0, 12345))
    assert one != Identity(os.stat(path))
    assert "mtime_ns=12345" in repr(Identity(os.stat(path)))


# -- piece tables ------------------------------------------------------------------


@given(st.binary(min_size=1, max_size=60), st.data())
def test_pieces_read_as_one(data: bytes, draw: st.DataObject) -> None:
    cuts = sorted(draw.draw(st.sets(st.integers(1, len(data)), max_size=9)) | {len(data)})
    starts = [0, *cuts[:-1]]
    table = [(a, b - a, a, PATCH) for a, b in zip(starts, cuts, strict=True)]
    source = Source(pack_pieces(table), data)
    offset = draw.draw(st.integers(0, len(data)))
    n = draw.draw(st.integers(0, len(data) - offset))
    assert source.read(offset, n) == data[offset : offset + n]
    buffer = bytearray(n)
    source.readinto(offset, buffer)
    assert buffer == data[offset : offset + n]


@pytest.mark.parametrize(
    "table",
    [
        [(1, 1, 0, PATCH)],  # does not begin at 0
        [(0, 0, 0, PATCH)],  # empty
        [(0, 2, 0, PATCH), (3, 1, 0, PATCH)],  # a gap
        [(0, 2, 0, PATCH), (1, 1, 0, PATCH)],  # an overlap
        [(0, 9, 0, PATCH)],  # past the patch
        [(0, 1, 8, PATCH)],
        [(0, 2**63, 0, PATCH)],  # no file is as long
        [(0, 1, 2**63 - 1, 7)],
    ],
)
def test_a_table_that_is_none(table: list[tuple[int, int, int, int]]) -> None:
    with pytest.raises(CoreError) as raised:
        Source(pack_pieces(table), b"01234567")
    assert raised.value.kind == "INVALID"


def test_a_table_of_odd_size() -> None:
    with pytest.raises(ValueError, match="whole number of records"):
        Source(b"x" * 33)


@pytest.mark.parametrize(("offset", "n"), [(0, 5), (4, 1), (5, 0), (2**63, 1), (1, 2**64 - 1)])
def test_no_reading_past_the_end(offset: int, n: int) -> None:
    with pytest.raises(CoreError) as raised:
        from_bytes(b"0123").read(offset, n)
    assert raised.value.kind == "TRUNCATED"
    assert raised.value.have == max(0, 4 - offset)


@given(st.binary(max_size=40), st.data())
def test_slices_are_the_bytes_of_their_spans(data: bytes, draw: st.DataObject) -> None:
    edges = st.integers(0, len(data))
    pairs = draw.draw(st.lists(st.tuples(edges, edges), max_size=4))
    spans = [(min(p), max(p)) for p in pairs]
    table = [(i, 1, i, PATCH) for i in range(len(data))]
    for source in (from_bytes(data), Source(pack_pieces(table), data)):
        part = slices(source, spans)
        assert part.read(0, part.size) == b"".join(data[a:b] for a, b in spans)


# -- fields ------------------------------------------------------------------------


def reader(data: bytes) -> Reader:
    return Reader(from_bytes(data), "a/file.pb")


MIXED = (
    integer(1, 300)
    + delimited(2, "text")
    + tag(3, FIXED64)
    + b"\1" * 8
    + tag(4, GROUP)
    + integer(1, 1)
    + tag(4, 4)
    + tag(5, FIXED32)
    + b"\2" * 4
)


def test_fields_in_file_order() -> None:
    fields = reader(MIXED).fields([(0, len(MIXED))], "")
    assert [(f.number, f.wire) for f in fields] == [
        (1, VARINT), (2, LEN), (3, FIXED64), (4, GROUP), (5, FIXED32),
    ]  # fmt: skip
    assert [f.value for f in fields] == [300, 0, 0x0101010101010101, 0, 0x02020202]
    assert [MIXED[f.at : f.end] for f in fields if f.wire == LEN] == [b"text"]
    assert [f.start for f in fields[1:]] == [f.end for f in fields[:-1]]
    assert [f.length_at - f.start for f in fields] == [1] * 5
    assert repr(fields[0]) == "Field(number=1, wire=0, start=0, end=3)"


def test_fields_of_several_spans() -> None:
    data = b"??" + integer(1, 1) + b"??" + integer(2, 2)
    fields = reader(data).fields([(6, 8), (2, 4)], "")
    assert [(f.number, f.value) for f in fields] == [(2, 2), (1, 1)]


def test_a_span_ends_a_field() -> None:
    with pytest.raises(FormatError, match=r"needs 4 bytes where 2 are left \(byte 3, x\)"):
        reader(MIXED).fields([(0, 7)], "x")


def test_a_span_outside_the_file() -> None:
    with pytest.raises(FormatError):
        reader(MIXED).fields([(0, len(MIXED) + 1)], "")


def test_the_first_of_many() -> None:
    data = delimited(1, "a") + delimited(2, "b") + delimited(2, "c") + b"\xff"  # not looked at
    r = reader(data)
    found = r.first([(0, len(data))], 2, "")
    assert found is not None and r.text(found, "") == "b"
    with pytest.raises(FormatError):
        r.first([(0, len(data))], 3, "")
    assert r.first([(0, len(data) - 1)], 3, "") is None


def test_scan_makes_no_more_objects_than_it_is_told() -> None:
    data = integer(1, 1) * 50 + integer(2, 2)
    source = from_bytes(data)
    assert len(_core.scan(source, [(0, len(data))], most=51)) == 51
    with pytest.raises(CoreError) as raised:
        _core.scan(source, [(0, len(data))], most=50)
    assert (raised.value.kind, raised.value.offset) == ("LIMIT", 100)
    assert len(_core.scan(source, [(0, len(data))], only=2, most=1)) == 1


def test_counts_fields_that_have_a_payload() -> None:
    data = delimited(1, "a") + integer(1, 1) + delimited(2) + delimited(1)
    r = reader(data)
    assert [r.count([(0, len(data))], n, "") for n in (1, 2, 3)] == [2, 1, 0]
    with pytest.raises(FormatError, match=r"needs 1 bytes where 0 are left \(byte 4, nodes\)"):
        r.count([(0, 4)], 1, "nodes")


# -- values ------------------------------------------------------------------------


def test_the_last_counts_if_its_wire_type_fits() -> None:
    data = delimited(1, "a") + delimited(1, "b") + integer(1, 7)
    r = reader(data)
    fields = r.fields([(0, len(data))], "")
    text, number = last(fields, 1), last(fields, 1, VARINT)
    assert text is not None and r.text(text, "") == "b"
    assert number is not None and number.value == 7
    assert last(fields, 2) is None
    assert merged(fields, 1) == [(2, 3), (5, 6)]


def test_text() -> None:
    data = delimited(1, "名前") + delimited(1, b"ab\xff")
    r = reader(data)
    good, bad = r.fields([(0, len(data))], "")
    assert r.text(good, "") == "名前"
    assert r.bytes(bad, "") == b"ab\xff"
    with pytest.raises(FormatError) as raised:
        r.text(bad, "tags")
    assert str(raised.value) == "a/file.pb: holds a string that is not UTF-8 (byte 12, tags)"
    assert data[12] == 0xFF


def test_text_has_a_limit() -> None:
    data = delimited(1, b"x" * MAX_TEXT) + delimited(1, b"x" * (MAX_TEXT + 1))
    r = reader(data)
    good, bad = r.fields([(0, len(data))], "")
    assert len(r.text(good, "")) == MAX_TEXT
    with pytest.raises(FormatError, match="goes past a limit of fastsm"):
        r.text(bad, "")


@pytest.mark.parametrize("value", [0, 1, -1, 2**31, -(2**31), 2**63 - 1, -(2**63)])
def test_signed(value: int) -> None:
    (field,) = _core.scan(from_bytes(integer(1, value)), [(0, len(integer(1, value)))])
    assert signed(field.value) == value


@pytest.mark.parametrize(
    ("data", "problem", "offset"),
    [
        (b"\x80", "needs 2 bytes where 1 are left", 2),
        (b"\0", "holds no protobuf field here", 2),
        (b"\x0f", "holds a field of a wire type that protobuf has not", 2),
        (tag(1, 0) + b"\xff" * 11, "holds a number of more than ten bytes", 3),
        (tag(1, 3), "holds a group that does not begin or end", 2),
        (tag(1, 4), "holds a group that does not begin or end", 2),
        (tag(1, 3) * 101, "nests messages deeper than 100", 102),
        (tag(1, 2) + varint(5) + b"1234", "needs 5 bytes where 4 are left", 2),
    ],
)
def test_errors_say_what_and_where(data: bytes, problem: str, offset: int) -> None:
    whole = integer(1, 1) + data
    with pytest.raises(FormatError) as raised:
        reader(whole).fields([(0, len(whole))], "meta_graphs[0]")
    error = raised.value
    assert (error.path, error.problem) == ("a/file.pb", problem)
    assert (error.offset, error.place) == (offset, "meta_graphs[0]")
