"""Bundles damaged in every way that anybody thought of: each case a function.

A function gets a copy of a bundle that TensorFlow wrote and damages it. Its decorator says
what `fastsm verify` has to find there, notes included, and words that its messages have.
What TensorFlow itself makes of the damage stands in damage_verdicts.json, by test_damage.py.
"""
from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from fastsm import _core

from .tables import (
    Maker,
    block_entries,
    footer,
    handle,
    handles,
    make_body,
    masked_crc,
    read_table,
    read_varint,
    snappy,
    u32,
)
from .wire import delimited, integer, tag, varint

INDEX = "variables.index"
DATA = "variables.data-00000-of-00001"
FIXED32 = 5
TOP = (1 << 63) - 1


class Case(NamedTuple):
    damage: Callable[[Bundle], None]
    base: str
    finds: frozenset[str]
    words: tuple[str, ...]


CASES: dict[str, Case] = {}


def case(
    *finds: str, words: str | tuple[str, ...] = (), base: str = "small"
) -> Callable[[Callable[[Bundle], None]], Callable[[Bundle], None]]:
    """Enter a function among the cases: what is found, and words that a message has."""

    def enter(damage: Callable[[Bundle], None]) -> Callable[[Bundle], None]:
        several = (words,) if isinstance(words, str) else words
        CASES[damage.__name__] = Case(damage, base, frozenset(finds), several)
        return damage

    return enter


class Bundle:
    """A bundle to be damaged: index and shard, read and written whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def index(self) -> bytearray:
        return bytearray((self.folder / INDEX).read_bytes())

    @index.setter
    def index(self, data: bytes) -> None:
        (self.folder / INDEX).write_bytes(data)

    @property
    def data(self) -> bytearray:
        return bytearray((self.folder / DATA).read_bytes())

    @data.setter
    def data(self, data: bytes) -> None:
        (self.folder / DATA).write_bytes(data)

    def flip(self, name: str, at: int, bits: int = 1) -> None:
        path = self.folder / name
        data = bytearray(path.read_bytes())
        data[at] ^= bits
        path.write_bytes(data)

    def entries(self) -> dict[bytes, bytes]:
        return {k: v for block in read_table(self.index) for k, v in block}

    def write(self, entries: Iterable[tuple[bytes, bytes]]) -> None:
        """The index anew, in one block, with these entries in this order."""
        self.index = Maker([list(entries)]).write()

    def maker(self) -> Maker:
        return Maker(read_table(self.index))

    def entry(self, key: str, **fields: int | bytes | None) -> None:
        """Change fields of an entry, or of the header ("")."""
        entries = self.entries()
        entries[key.encode()] = changed(entries[key.encode()], **fields)
        self.write(entries.items())

    def body(self, change: Callable[[bytes], bytes], block: int = 0) -> None:
        """Change the body of a data block; its checksum is made true."""
        maker = self.maker()
        maker.blocks[block] = (change(maker.blocks[block][0]), 0)
        self.index = maker.write()


#: The fields of BundleEntryProto by name: number and wire type.
FIELDS = {
    "dtype": (1, 0), "shape": (2, 2), "shard": (3, 0), "offset": (4, 0), "size": (5, 0),
    "crc": (6, FIXED32), "slices": (7, 2), "unknown": (99, 2),
}  # fmt: skip


def fields_of(value: bytes) -> list[tuple[int, int, bytes]]:
    """(number, wire type, the whole field) of a message."""
    out, at = [], 0
    while at < len(value):
        start = at
        head, at = read_varint(value, at)
        if head & 7 == 0:
            _, at = read_varint(value, at)
        elif head & 7 == 2:
            n, at = read_varint(value, at)
            at += n
        else:
            at += 4
        out.append((head >> 3, head & 7, value[start:at]))
    return out


def changed(value: bytes, **fields: int | bytes | None) -> bytes:
    """An entry with other fields; None takes one out, bytes stand as they are in field 7."""
    parts = fields_of(value)
    for name, new in fields.items():
        number, wire = FIELDS[name]
        parts = [p for p in parts if p[0] != number]
        if new is None:
            continue
        if wire == 0:
            assert isinstance(new, int)
            field = integer(number, new)
        elif wire == FIXED32:
            assert isinstance(new, int)
            field = tag(number, FIXED32) + u32(new)
        else:
            assert isinstance(new, bytes)
            field = new if name == "slices" else delimited(number, new)
        parts.append((number, wire, field))
    return b"".join(field for _, _, field in sorted(parts, key=lambda p: p[0]))


def shape(*sizes: int) -> bytes:
    return b"".join(delimited(2, integer(1, n) if n else b"") for n in sizes)


def header(n_shards: int = 1, version: bytes | None = integer(1, 1), more: bytes = b"") -> bytes:
    out = integer(1, n_shards) if n_shards else b""
    return out + more + (b"" if version is None else delimited(3, version))


def with_header(b: Bundle, value: bytes) -> None:
    b.write({**b.entries(), b"": value}.items())


# -- the bytes of tensors --------------------------------------------------------------
# a 0..48, b 48..96, flags 96..102, i 102..122, s 122..148, v 148..235, z 235..239


@case("tensor-checksum", words=("a: crc32c", "expected"))
def dense_first_byte(b: Bundle) -> None:
    b.flip(DATA, 0)


@case("tensor-checksum", words="b: crc32c")
def dense_last_byte(b: Bundle) -> None:
    b.flip(DATA, 95, 0x80)


@case("tensor-checksum", words="i: crc32c")
def dense_integer(b: Bundle) -> None:
    b.flip(DATA, 104)


@case("tensor-checksum", words="z: crc32c")
def dense_scalar(b: Bundle) -> None:
    b.flip(DATA, 238)


@case("tensor-checksum", words="flags: crc32c")
def bool_flipped(b: Bundle) -> None:
    b.flip(DATA, 97)


@case("bool-bytes", words="1 byte neither 0 nor 1, the first at 97")
def bool_of_two(b: Bundle) -> None:
    data = b.data
    data[97] = 2
    b.data = data
    b.entry("flags", crc=masked_crc(bytes(data[96:102])))


@case("tensor-checksum", words=("a: crc32c", "b: crc32c"))
def tensors_swapped(b: Bundle) -> None:
    data = b.data
    b.data = data[48:96] + data[:48] + data[96:]


@case("tensor-checksum", "tensor-strings", "tensor-variant")
def data_all_zero(b: Bundle) -> None:
    b.data = bytes(len(b.data))


@case("tensor-checksum", "tensor-strings", "tensor-variant")
def data_shifted(b: Bundle) -> None:
    b.data = b"\1" + b.data[:-1]


@case("tensor-checksum", words="a: crc32c")
def checksum_left_out(b: Bundle) -> None:
    b.entry("a", crc=None)


@case("tensor-checksum", words="a: crc32c")
def checksum_wrong(b: Bundle) -> None:
    b.entry("a", crc=12345)


@case("tensor-checksum", words="s: crc32c")
def string_checksum_wrong(b: Bundle) -> None:
    b.entry("s", crc=12345)


@case("tensor-checksum", words="v: crc32c")
def variant_checksum_wrong(b: Bundle) -> None:
    b.entry("v", crc=12345)


@case("tensor-checksum", words="s: crc32c")
def string_byte(b: Bundle) -> None:
    b.flip(DATA, 140)


@case("tensor-strings", words="s: lengths need 27 bytes, the entry has 26")
def string_length(b: Bundle) -> None:
    data = b.data
    data[122] += 1
    b.data = data


@case("tensor-strings", words="s: lengths need")
def string_length_huge(b: Bundle) -> None:
    data = b.data
    data[122:126] = b"\xff\xff\xff\x7f"
    b.data = data


@case("tensor-strings", words="s: a length does not end")
def string_length_endless(b: Bundle) -> None:
    data = b.data
    data[122:148] = b"\xff" * 26
    b.data = data


@case("tensor-strings", words="s: crc32c of its lengths")
def string_lengths_that_make_up(b: Bundle) -> None:
    data = b.data
    data[122] -= 1
    data[123] += 1
    b.data = data


@case("tensor-strings", words="s: crc32c of its lengths")
def string_length_checksum(b: Bundle) -> None:
    b.flip(DATA, 127)


@case("tensor-variant", words="v: crc32c of an element")
def variant_byte(b: Bundle) -> None:
    b.flip(DATA, 160)


@case("tensor-variant", words="v: lengths need")
def variant_length(b: Bundle) -> None:
    data = b.data
    data[148] = 0x7F
    b.data = data


@case("tensor-variant", words="v: crc32c of an element")
def variant_element_checksum(b: Bundle) -> None:
    b.flip(DATA, 234)


# -- the shard as a file ---------------------------------------------------------------


@case("entry-range", words="z: the shard ends at 238")
def data_one_byte_short(b: Bundle) -> None:
    b.data = b.data[:-1]


@case("entry-range", words=("i: the shard", "s: the shard", "v: the shard", "z: the shard"))
def data_half(b: Bundle) -> None:
    b.data = b.data[:110]


@case("entry-range", words="a: the shard ends at 0")
def data_empty(b: Bundle) -> None:
    b.data = b""


@case("shard-missing", words=("the index says 1 shard, found: none", "8 tensors"))
def data_missing(b: Bundle) -> None:
    (b.folder / DATA).unlink()


@case("shard-unreadable")
def data_is_a_folder(b: Bundle) -> None:
    (b.folder / DATA).unlink()
    (b.folder / DATA).mkdir()


@case("shard-trailing", words="3 bytes behind the last entry")
def data_appended(b: Bundle) -> None:
    b.data = b.data + b"abc"


@case("shard-gap", words="5 bytes in 1 gap")
def data_gap(b: Bundle) -> None:
    b.data = b.data + bytes(5) + b.data[235:]
    b.data = b.data[:235] + b.data[239:]
    b.entry("z", offset=240)


@case("stray-shard", words="no entry lies in it")
def data_stray(b: Bundle) -> None:
    (b.folder / "variables.data-00001-of-00002").write_bytes(b"left over")


@case("shard-missing", words=(f"found: {DATA.replace('00000-of', '00001-of')}",))
def data_renumbered(b: Bundle) -> None:
    os.rename(b.folder / DATA, b.folder / "variables.data-00001-of-00001")


# -- the header ------------------------------------------------------------------------


@case("shard-missing", words=("the index says 2 shards", f"found: {DATA}"))
def header_of_two_shards(b: Bundle) -> None:
    with_header(b, header(2))


@case("shard-count", words="the header says 0 shards")
def header_of_no_shards(b: Bundle) -> None:
    with_header(b, header(0))


@case("shard-count", words="the header says -1 shard")
def header_of_minus_one_shards(b: Bundle) -> None:
    with_header(b, header(-1))


@case("header-missing")
def header_gone(b: Bundle) -> None:
    entries = b.entries()
    del entries[b""]
    b.write(entries.items())


@case("shard-count")
def header_empty(b: Bundle) -> None:
    with_header(b, b"")


@case("header-damaged")
def header_cut(b: Bundle) -> None:
    with_header(b, header()[:-1])


@case()
def header_without_version(b: Bundle) -> None:
    with_header(b, header(version=None))


@case()
def header_with_unknown_field(b: Bundle) -> None:
    with_header(b, header(more=delimited(50, "x")))


@case("bundle-version", words="asks for a reader of version 2; TensorFlow 2.21 has version 1")
def header_min_consumer(b: Bundle) -> None:
    with_header(b, header(version=integer(1, 1) + integer(2, 2)))


@case("bundle-version", words="disallows readers of version 1")
def header_bad_consumer(b: Bundle) -> None:
    with_header(b, header(version=integer(1, 1) + integer(3, 1)))


@case("bundle-version", words="producer version -1 is below 0")
def header_producer(b: Bundle) -> None:
    with_header(b, header(version=integer(1, -1)))


@case("big-endian", "byte-order", words=("s: little-endian", "v: little-endian"))
def header_big_endian(b: Bundle) -> None:
    with_header(b, header(more=integer(2, 1)))


@case("header-damaged", words="byte order 7")
def header_unknown_endian(b: Bundle) -> None:
    with_header(b, header(more=integer(2, 7)))


# -- the index as a file ---------------------------------------------------------------


@case("index-missing", words=f"is not there; found: {DATA}")
def index_missing(b: Bundle) -> None:
    (b.folder / INDEX).unlink()


@case("index-footer", words="cut off, or written over")
def index_magic(b: Bundle) -> None:
    b.flip(INDEX, len(b.index) - 1)


@case("index-footer", words="cut off, or written over")
def index_one_byte_short(b: Bundle) -> None:
    b.index = b.index[:-1]


@case("index-footer", words="cut off, or written over")
def index_half(b: Bundle) -> None:
    b.index = b.index[: len(b.index) // 2]


@case("index-footer", words="47 bytes, where the shortest table has 48: cut off")
def index_of_47_bytes(b: Bundle) -> None:
    b.index = b.index[:47]


@case("index-footer", words="0 bytes")
def index_empty(b: Bundle) -> None:
    b.index = b""


@case("index-footer", words="is a web page")
def index_of_something_else(b: Bundle) -> None:
    b.index = b"<html>" * 100


@case("index-footer", words="is not a table")
def index_of_zeros(b: Bundle) -> None:
    b.index = bytes(len(b.index))


@case("index-footer", words="1 byte behind the table's end")
def index_appended_byte(b: Bundle) -> None:
    b.index = b.index + b"\n"


@case("index-footer", words="1,000 bytes behind the table's end")
def index_appended_more(b: Bundle) -> None:
    b.index = b.index + bytes(1000)


@case("index-footer", words="does not say where the index block is")
def index_footer_handles(b: Bundle) -> None:
    index = b.index
    index[-48:-8] = b"\xff" * 40
    b.index = index


@case("index-padding")
def index_padding(b: Bundle) -> None:
    b.flip(INDEX, len(b.index) - 9)


@case("metaindex-block", words="metaindex block: checksum")
def metaindex_byte(b: Bundle) -> None:
    b.flip(INDEX, footer(b.index)[0])


@case("metaindex-block", words="outside the file")
def metaindex_handle(b: Bundle) -> None:
    maker = b.maker()
    maker.metaindex_handle = handle(1 << 40, 8)
    b.index = maker.write()


@case("index-block", words="index block: checksum")
def index_block_byte(b: Bundle) -> None:
    b.flip(INDEX, footer(b.index)[2] + footer(b.index)[3] + 2)  # of its checksum


@case("index-block", words="lost: all keys")
def index_block_outside(b: Bundle) -> None:
    maker = b.maker()
    maker.index_handle = handle(1 << 40, 8)
    b.index = maker.write()


@case("index-block", words="outside the file")
def index_block_of_2_63(b: Bundle) -> None:
    maker = b.maker()
    maker.index_handle = handle(0, 1 << 63)
    b.index = maker.write()


@case("restart-array", words="index block: the restart array is broken")
def index_block_restarts(b: Bundle) -> None:
    maker = b.maker()
    maker.index_body = lambda body: body[:-4] + u32(0)
    b.index = maker.write()


# -- data blocks -----------------------------------------------------------------------


@case("data-block", words=("data block 0: checksum", "the header, all keys"))
def block_first(b: Bundle) -> None:
    b.flip(INDEX, 5)


@case("data-block", words=("data block 1: checksum", "lost: keys after"), base="many")
def block_second_of_three(b: Bundle) -> None:
    b.flip(INDEX, handles(b.index)[1][0] + 1000)


@case("data-block", words=("data block 2: checksum", "lost: keys after"), base="many")
def block_last_of_three(b: Bundle) -> None:
    b.flip(INDEX, handles(b.index)[2][0] + 1000)


@case("data-block", words="data block 0: checksum", base="many")
def block_first_of_three(b: Bundle) -> None:
    b.flip(INDEX, handles(b.index)[0][0] + 1000)


@case("data-block", words="data block 1: checksum", base="many")
def block_stored_checksum(b: Bundle) -> None:
    offset, size = handles(b.index)[1]
    b.flip(INDEX, offset + size + 4)


@case("data-block", words="holds a value that it cannot have")
def block_unknown_type(b: Bundle) -> None:
    maker = b.maker()
    maker.blocks[0] = (maker.blocks[0][0], 9)
    b.index = maker.write()


@case()
def block_under_snappy(b: Bundle) -> None:
    maker = b.maker()
    maker.blocks[0] = (snappy(maker.blocks[0][0]), 1)
    b.index = maker.write()


@case("data-block", words="the compressed contents are corrupted")
def snappy_of_4_gib(b: Bundle) -> None:
    maker = b.maker()
    maker.blocks[0] = (varint(0xFFFFFFFF) + snappy(maker.blocks[0][0])[2:], 1)
    b.index = maker.write()


@case("data-block", words="the compressed contents are corrupted")
def snappy_cut(b: Bundle) -> None:
    maker = b.maker()
    maker.blocks[0] = (snappy(maker.blocks[0][0])[:-3], 1)
    b.index = maker.write()


@case("data-block", words="the compressed contents are corrupted")
def snappy_copy_from_before(b: Bundle) -> None:
    maker = b.maker()
    maker.blocks[0] = (varint(64) + b"\xfe\xff\xff", 1)
    b.index = maker.write()


def _sized(size: int) -> Callable[[Bundle], None]:
    def damage(b: Bundle) -> None:
        maker = b.maker()
        maker.handles[0] = handle(0, size)
        b.index = maker.write()

    return damage


for _name, _size in (("2_34", 1 << 34), ("2_63", 1 << 63), ("2_64", (1 << 64) - 1)):
    _damage = _sized(_size)
    _damage.__name__ = f"block_size_{_name}"
    case("data-block", words="outside the file")(_damage)


@case("data-block", words="outside the file")
def block_behind_the_end(b: Bundle) -> None:
    maker = b.maker()
    maker.handles[0] = handle(1 << 20, 100)
    b.index = maker.write()


@case("data-block", words="does not say where it is")
def block_handle_endless(b: Bundle) -> None:
    maker = b.maker()
    maker.handles[0] = b"\xff" * 11
    b.index = maker.write()


@case("data-block", words="lies before or over another block", base="many")
def block_named_twice(b: Bundle) -> None:
    maker = b.maker()
    maker.handles[1] = handle(0, len(maker.blocks[0][0]))
    b.index = maker.write()


@case("data-block", "key-order", words="lies before or over another block", base="many")
def blocks_swapped(b: Bundle) -> None:
    maker = b.maker()
    sizes = [len(body) for body, _ in maker.blocks]
    maker.handles[0] = handle(sizes[0] + 5, sizes[1])
    maker.handles[1] = handle(0, sizes[0])
    b.index = maker.write()


def _raw(rest: bytes) -> Callable[[bytes], bytes]:
    """Put an entry that does not fit behind the header's."""

    def change(body: bytes) -> bytes:
        entries = block_entries(body)
        return make_body(entries[:1])[:-8] + rest + u32(0) + u32(1)

    return change


@case("data-block", words=("entry lengths do not fit", "lost"))
def value_of_4_gib(b: Bundle) -> None:
    b.body(_raw(varint(0) + varint(1) + varint(0xFFFFFFFF) + b"a"))


@case("data-block", words="entry lengths do not fit")
def key_of_4_gib(b: Bundle) -> None:
    b.body(_raw(varint(0) + varint(0xFFFFFFF0) + varint(17) + b"a"))


@case("data-block", words="entry lengths do not fit")
def key_of_2_gib(b: Bundle) -> None:
    b.body(_raw(varint(0) + varint(1 << 31) + varint(0) + b"a"))


@case("data-block", words="entry lengths do not fit")
def key_that_shares_too_much(b: Bundle) -> None:
    b.body(_raw(varint(5) + varint(1) + varint(0) + b"a"))


@case("data-block", words="entry lengths do not fit")
def entry_varint_endless(b: Bundle) -> None:
    b.body(_raw(b"\xff" * 30))


@case("restart-array", words="the restart array is broken; its keys can still be read")
def restarts_of_none(b: Bundle) -> None:
    b.body(lambda body: body[:-4] + u32(0))


@case("restart-array")
def restarts_of_2_31(b: Bundle) -> None:
    b.body(lambda body: body[:-4] + u32(1 << 31))


@case("restart-array")
def restart_far_away(b: Bundle) -> None:
    b.body(lambda body: body[:-8] + u32(0x7FFFFFFF) + body[-4:])


@case("restart-array")
def restart_inside_an_entry(b: Bundle) -> None:
    b.body(lambda body: body[:-8] + u32(7) + body[-4:])


@case("restart-array", words="data block 1", base="many")
def restart_of_a_later_block(b: Bundle) -> None:
    b.body(lambda body: body[:-8] + u32(1) + body[-4:], block=1)


@case("key-order", words="does not stand above the key before it")
def keys_unsorted(b: Bundle) -> None:
    entries = list(b.entries().items())
    entries[1], entries[2] = entries[2], entries[1]
    b.write(entries)


@case("key-order")
def key_twice(b: Bundle) -> None:
    entries = list(b.entries().items())
    b.write(entries[:2] + entries[1:])


@case("key-order", "entry-damaged")
def header_twice(b: Bundle) -> None:
    entries = list(b.entries().items())
    b.write(entries[:1] + [(b"", b"\xff")] + entries[1:])


@case("key-order", words="not in the range", base="many")
def separator_too_low(b: Bundle) -> None:
    maker = b.maker()
    maker.separators[0] = b"0"
    b.index = maker.write()


# -- entries ---------------------------------------------------------------------------


@case("entry-dtype", words="a: invalid")
def dtype_none(b: Bundle) -> None:
    b.entry("a", dtype=None)


@case("entry-dtype", words="a: dtype 99")
def dtype_unknown(b: Bundle) -> None:
    b.entry("a", dtype=99)


@case("entry-dtype", words="a: float32_ref")
def dtype_reference(b: Bundle) -> None:
    b.entry("a", dtype=101)


@case("entry-dtype", words="a: resource")
def dtype_resource(b: Bundle) -> None:
    b.entry("a", dtype=20)


@case("entry-dtype")
def dtype_negative(b: Bundle) -> None:
    b.entry("a", dtype=-1)


@case()
def dtype_of_the_same_width(b: Bundle) -> None:
    """What no checksum shows; see restore-dtype."""
    b.entry("a", dtype=3)


@case("entry-size", words="a: 48 bytes; 12 elements of float64 take 96")
def dtype_of_another_width(b: Bundle) -> None:
    b.entry("a", dtype=2)


@case("entry-size", words="a: 49 bytes; 12 elements of float32 take 48")
def size_one_more(b: Bundle) -> None:
    b.entry("a", size=49)


@case("entry-size", words="a: 47 bytes")
def size_one_less(b: Bundle) -> None:
    b.entry("a", size=47)


@case("entry-size", words="a: -1 bytes")
def size_negative(b: Bundle) -> None:
    b.entry("a", size=-1)


@case("entry-size")
def size_2_62(b: Bundle) -> None:
    b.entry("a", size=1 << 62)


@case("tensor-strings", "entry-overlap", words="s: lengths need 26 bytes, the entry has 27")
def string_size_one_more(b: Bundle) -> None:
    b.entry("s", size=27)


@case("tensor-strings", "shard-gap", words="s: lengths need 26 bytes, the entry has 25")
def string_size_one_less(b: Bundle) -> None:
    b.entry("s", size=25)


@case("entry-size", words="s: 3 bytes; 4 elements of string take at least 8")
def string_size_of_nothing(b: Bundle) -> None:
    b.entry("s", size=3)


@case("entry-size", words="s: -1 bytes")
def string_size_negative(b: Bundle) -> None:
    b.entry("s", size=-1)


@case("entry-range", words="v: the shard ends at 239")
def variant_size_2_62(b: Bundle) -> None:
    b.entry("v", size=1 << 62)


@case("entry-range", words="a: offset -8")
def offset_negative(b: Bundle) -> None:
    b.entry("a", offset=-8)


@case("entry-range", words="b: the shard ends at 239")
def offset_past_the_end(b: Bundle) -> None:
    b.entry("b", offset=200)


@case("entry-range")
def offset_2_62(b: Bundle) -> None:
    b.entry("b", offset=1 << 62)


@case("entry-range")
def offset_top(b: Bundle) -> None:
    b.entry("b", offset=TOP)


@case(
    "entry-overlap", "tensor-checksum", "shard-gap",
    words="b: bytes 44..92 overlap a, which ends at 48",
)  # fmt: skip
def offset_into_another(b: Bundle) -> None:
    b.entry("b", offset=44)


@case("tensor-checksum", "shard-gap", words="b: crc32c")
def offset_of_another(b: Bundle) -> None:
    b.entry("b", offset=None)


@case("entry-overlap")
def overlap_with_true_checksum(b: Bundle) -> None:
    b.entry("b", offset=44, crc=masked_crc(bytes(b.data[44:92])))
    data = b.data
    b.data = data
    # Nothing is left over: the four bytes behind b are a scalar's.
    entries = b.entries()
    entries[b"z2"] = changed(
        entries[b"z"], offset=92, crc=masked_crc(bytes(data[92:96]))
    )
    b.write(sorted(entries.items()))


@case("shard-gap")
def shared_bytes(b: Bundle) -> None:
    """Two keys for the same bytes: legal, and what dedupe writes."""
    entries = b.entries()
    crc = int.from_bytes(next(f for n, _, f in fields_of(entries[b"a"]) if n == 6)[1:], "little")
    b.entry("b", offset=None, crc=crc)


@case("entry-size", words="a: 48 bytes; 1,099,511,627,776 elements of float32 take")
def shape_2_40(b: Bundle) -> None:
    b.entry("a", shape=shape(1 << 40))


@case("entry-shape", words="with a dimension of -3")
def shape_negative(b: Bundle) -> None:
    b.entry("a", shape=shape(-3, 4))


@case("entry-shape", words="of more elements than a tensor can have")
def shape_overflow(b: Bundle) -> None:
    b.entry("a", shape=shape(1 << 40, 1 << 40))


@case("entry-shape", words="of rank 300, above 254")
def shape_of_rank_300(b: Bundle) -> None:
    b.entry("a", shape=shape(*[1] * 300))


@case("entry-shape", words="of unknown rank")
def shape_of_unknown_rank(b: Bundle) -> None:
    b.entry("a", shape=integer(3, 1))


@case("entry-size", words="a: 48 bytes; 1 element of float32 take")
def shape_left_out(b: Bundle) -> None:
    b.entry("a", shape=None)


@case("entry-size", words="s: 26 bytes; 1,000 elements of string")
def string_shape_of_more(b: Bundle) -> None:
    b.entry("s", shape=shape(1000))


@case("tensor-strings")
def string_shape_of_less(b: Bundle) -> None:
    b.entry("s", shape=shape(3))


@case("tensor-variant")
def variant_shape_of_more(b: Bundle) -> None:
    b.entry("v", shape=shape(2))


@case("shard-id", words="a: in shard 1, and the header says 1 shard")
def shard_id_beyond(b: Bundle) -> None:
    b.entry("a", shard=1)


@case("shard-id", words="a: in shard -1")
def shard_id_negative(b: Bundle) -> None:
    b.entry("a", shard=-1)


def _value(b: Bundle, change: Callable[[bytes], bytes]) -> None:
    entries = b.entries()
    entries[b"a"] = change(entries[b"a"])
    b.write(entries.items())


@case("entry-damaged", words="needs")
def entry_cut(b: Bundle) -> None:
    _value(b, lambda value: value[:-2])


@case("entry-dtype")
def entry_empty(b: Bundle) -> None:
    _value(b, lambda value: b"")


@case("entry-damaged")
def entry_of_noise(b: Bundle) -> None:
    _value(b, lambda value: b"\xff" * 12)


@case("entry-damaged")
def entry_with_open_group(b: Bundle) -> None:
    _value(b, lambda value: value + tag(50, 3))


@case("entry-damaged")
def entry_nested_deep(b: Bundle) -> None:
    _value(b, lambda value: value + tag(50, 3) * 200 + tag(50, 4) * 200)


@case()
def entry_with_unknown_field(b: Bundle) -> None:
    b.entry("a", unknown=b"hello")


@case()
def entry_with_fields_twice(b: Bundle) -> None:
    """The last counts, as protobuf has it."""
    _value(b, lambda value: integer(5, 7) + value)


# -- slices ----------------------------------------------------------------------------
# p float32 [4, 6] in rows 0,2 and 2,2; q int32 [6, 4] in columns 0,1 and 1,3


def extent(start: int, length: int | None) -> bytes:
    """One extent of a TensorSliceProto; None for all of a dimension."""
    inner = integer(1, start) if start else b""
    return delimited(1, inner if length is None else inner + integer(2, length))


def listed(*slices: list[tuple[int, int | None]]) -> bytes:
    return b"".join(delimited(7, *(extent(*e) for e in s)) for s in slices)


def slice_key(name: bytes, *extents: tuple[int, int]) -> bytes:
    return _core.slice_key(name, extents)


def relisted(b: Bundle, *slices: list[tuple[int, int | None]]) -> None:
    b.entry("p", slices=listed(*slices))


UPPER: list[tuple[int, int | None]] = [(0, 2), (0, None)]
LOWER: list[tuple[int, int | None]] = [(2, 2), (0, None)]
UPPER_KEY = (b"p", (0, 2), (0, -1))
LOWER_KEY = (b"p", (2, 2), (0, -1))


@case(base="sliced")
def slices_sound(b: Bundle) -> None:
    """As TensorFlow wrote it, listed the other way round."""
    relisted(b, LOWER, UPPER)


@case("slice-overlap", words="p 0,2:-: is listed twice", base="sliced")
def slice_twice(b: Bundle) -> None:
    relisted(b, UPPER, UPPER, LOWER)


@case("slice-missing", "slice-overlap", words="p 1,2:-: overlaps 0,2:-", base="sliced")
def slices_that_overlap(b: Bundle) -> None:
    relisted(b, UPPER, [(1, 2), (0, None)], LOWER)


@case(
    "slice-missing", "slice-orphan",
    words=("p: 1 slice cover 12 of 24 elements", "no variable lists this slice"), base="sliced",
)  # fmt: skip
def slice_not_listed(b: Bundle) -> None:
    relisted(b, UPPER)


@case("slice-missing", "shard-gap", words="p 2,2:-: listed, and not in the index", base="sliced")
def slice_not_stored(b: Bundle) -> None:
    entries = b.entries()
    del entries[slice_key(*LOWER_KEY)]
    b.write(entries.items())


@case("slice-shape", "slice-orphan", words="of rank 1, and the variable of rank 2", base="sliced")
def slice_of_another_rank(b: Bundle) -> None:
    relisted(b, UPPER, [(2, 2)])


@case("slice-range", "slice-orphan", words="p 2,3:-: reaches out of shape [4, 6]", base="sliced")
def slice_out_of_range(b: Bundle) -> None:
    relisted(b, UPPER, [(2, 3), (0, None)])


@case("slice-range", "slice-orphan", base="sliced")
def slice_of_2_62(b: Bundle) -> None:
    relisted(b, UPPER, [(2, 1 << 62), (0, None)])


@case("slice-range", "slice-orphan", base="sliced")
def slice_from_before(b: Bundle) -> None:
    relisted(b, UPPER, [(-2, 2), (0, None)])


@case("slice-orphan", words="no variable lists this slice", base="sliced")
def slices_without_variable(b: Bundle) -> None:
    entries = b.entries()
    del entries[b"p"]
    b.write(entries.items())


@case("slice-key", "shard-gap", base="sliced")
def slice_key_of_noise(b: Bundle) -> None:
    entries = b.entries()
    entries[b"\0\xff"] = entries.pop(slice_key(*LOWER_KEY))
    entries[b"p"] = changed(entries[b"p"], slices=None)
    entries = {k: v for k, v in entries.items() if k not in (b"p", slice_key(*UPPER_KEY))}
    b.write(sorted(entries.items()))


@case("slice-shape", "entry-size", words="stored as float32 [1, 6]", base="sliced")
def slice_of_another_shape(b: Bundle) -> None:
    entries = b.entries()
    key = slice_key(*LOWER_KEY)
    entries[key] = changed(entries[key], shape=shape(1, 6))
    b.write(entries.items())


@case("slice-shape", words="stored as int32 [2, 6]", base="sliced")
def slice_of_another_dtype(b: Bundle) -> None:
    entries = b.entries()
    key = slice_key(*LOWER_KEY)
    entries[key] = changed(entries[key], dtype=3)
    b.write(entries.items())


@case("tensor-checksum", words="p 2,2:-: crc32c", base="sliced")
def slice_byte(b: Bundle) -> None:
    b.flip(DATA, 50)


@case("entry-shape", words="with a dimension of -4", base="sliced")
def sliced_shape_negative(b: Bundle) -> None:
    b.entry("p", shape=shape(-4, 6))

