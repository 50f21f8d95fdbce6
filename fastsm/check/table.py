"""Findings of the index as a file: footer, blocks, restart arrays, order, header.

Source: tensorflow/core/util/tensor_bundle/tensor_bundle.cc (BundleReader) and
tsl/lib/io/table.cc, block.cc (2.21).
"""

from __future__ import annotations

from .. import _core
from ..bundle.opened import VERSION
from ..errors import CoreError
from ..source import slices
from ..text import count, counted, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._core import BundleIndex, Source
    from .report import Report

#: The last eight bytes of a table. Source: tsl/lib/io/format.h kTableMagicNumber.
MAGIC = bytes.fromhex("57fb808b247547db")
FOOTER_SIZE = 48

#: How far from the end of a file a table's own end is looked for.
MAX_APPENDED = 1 << 20


#: Source: tensor_bundle.h kTensorBundleMinProducer.
MIN_PRODUCER = 0


def open_index(report: Report, name: str, source: Source) -> BundleIndex | None:
    """The index as far as it can be read, with a finding where it is no table.

    Bytes behind a table's end are a finding, and the table before them is read.
    """
    try:
        return _core.BundleIndex(source, lenient=True)
    except CoreError as e:
        if e.kind not in ("MAGIC", "TRUNCATED", "HANDLE"):
            report.add("index-block", name, str(e), offset=e.offset)
            return None
        end = _true_end(source) if e.kind == "MAGIC" else None
        if end is None:
            report.add("index-footer", name, _no_table(source, e), offset=e.offset)
            return None
    appended = counted(source.size - end, "byte")
    report.add(
        "index-footer", name, f"{appended} behind the table's end: something was appended",
        offset=end, size=source.size - end,
    )  # fmt: skip
    try:
        return _core.BundleIndex(slices(source, [(0, end)]), lenient=True)
    except CoreError:
        return None


def _true_end(source: Source) -> int | None:
    """Where a table ends in a file that does not end as one, or None."""
    start = max(0, source.size - MAX_APPENDED)
    tail = source.read(start, source.size - start)
    at = tail.rfind(MAGIC)
    return start + at + len(MAGIC) if at >= FOOTER_SIZE - len(MAGIC) else None


def stands_for(source: Source) -> str | None:
    """What lies in a file's place, with what to do: a pointer, a page; None if not known."""
    if not source.size:
        return None
    from ..diagnose import instead

    found = instead(source)
    return f"{found[0]}. {found[1]}" if found else None


def _no_table(source: Source, e: CoreError) -> str:
    what = stands_for(source)
    if what is not None:
        return what
    if source.size < FOOTER_SIZE:
        least = f"the shortest table has {FOOTER_SIZE}"
        return f"{counted(source.size, 'byte')}, where {least}: cut off"
    if e.kind == "HANDLE":
        return "the footer does not say where the index block is"
    if source.read(0, 3) == b"\0\0\6":  # the key and value sizes of a header's entry
        return "begins as a table and does not end as one: cut off, or written over"
    return "is not a table: its last eight bytes are not a table's magic number"


_RULES = {
    "padding": "index-padding", "metaindex": "metaindex-block", "index": "index-block",
    "block": "data-block", "header": "header-damaged", "entry": "entry-damaged",
}  # fmt: skip


def check_index(report: Report, name: str, index: BundleIndex) -> None:
    """What the walk over the index found, and what its header says."""
    for found in index.damage():
        _add_problem(report, name, index, *found)
    omitted = index.n_problems - len(index.damage())
    if omitted:
        report.omitted["data-block"] = report.omitted.get("data-block", 0) + omitted
    report.count("index_blocks", index.n_blocks)
    _check_header(report, name, index)


def _add_problem(
    report: Report,
    name: str,
    index: BundleIndex,
    kind: str,
    place: str,
    offset: int,
    need: int,
    have: int,
    block: int,
    block_offset: int,
    rows: int,
    key: bytes,
) -> None:
    rule = _RULES[place]
    where = _where(place, block)
    expected = seen = None
    if kind == "RESTARTS" and place != "metaindex":
        rule = "restart-array"
        message = f"{where}: the restart array is broken; its keys can still be read in order"
    elif kind == "ORDER":
        rule = "data-block" if place == "block" else "key-order"
        message = (
            f"{where}: lies before or over another block"
            if place == "block"
            else f"{where}: {key_words(key)} does not stand above the key before it, or not in "
            "the range that the index block gives its block"
        )
    elif kind == "CRC":
        expected, seen = f"{need:08x}", f"{have:08x}"
        message = f"{where}: checksum {seen}, expected {expected}"
    else:
        message = f"{where}: {_words(kind, offset, need, have)}"
    if rule == "data-block":
        message += f"; lost: {_lost(index, rows, key)}"
    elif rule == "index-block" and kind != "CRC":
        message += f"; lost: all keys {_after(index, rows)}".rstrip()
    report.add(
        rule, name, message, offset=None if kind == "HANDLE" and need else offset,
        key=key if place == "entry" else None,
        expected=expected, seen=seen,
    )  # fmt: skip


def _where(place: str, block: int) -> str:
    if place == "padding":
        return "footer"
    if place == "metaindex":
        return "metaindex block"
    if place == "index":
        return "index block"
    return f"data block {block}" if place == "block" else place


def _words(kind: str, offset: int, need: int, have: int) -> str:
    if kind == "HANDLE" and not need:
        return "does not say where it is"
    if kind == "HANDLE":
        return f"{count(need)} bytes at byte {count(offset)}, which is outside the file"
    if kind == "BLOCK":
        return f"entry lengths do not fit: {count(need)} where {count(have)} are left"
    if kind == "SNAPPY":
        return "the compressed contents are corrupted"
    if kind == "LIMIT":
        return f"would take {count(need)} bytes, more than any table's block"
    if kind == "INVALID":
        return "holds a value that it cannot have"
    return str(CoreError(kind, 0, need, have))


def _after(index: BundleIndex, rows: int) -> str:
    return f"after {key_words(index.key(rows - 1))}" if rows else ""


def _lost(index: BundleIndex, rows: int, key: bytes) -> str:
    """The range of keys that a damaged block held."""
    after = _after(index, rows) or ("all keys" if index.has_header else "the header, all keys")
    return f"{'keys ' if rows else ''}{after} up to {key_words(key)}"


def key_words(key: bytes) -> str:
    """A checkpoint's key, safe to print; of a slice its tensor and extents."""
    if key.startswith(b"\0"):
        parts = _core.parse_slice_key(key)
        if parts is not None:
            return f"{printable(parts[0])} {extent_words(parts[1])}"
    return printable(key) if key else '""'


def extent_words(extents: tuple[tuple[int, int], ...]) -> str:
    """The extents of a slice, as TensorFlow writes them: ``0,2:-``."""
    return ":".join("-" if length < 0 else f"{start},{length}" for start, length in extents)


def _check_header(report: Report, name: str, index: BundleIndex) -> None:
    if not index.has_header:
        if any(f.id in ("index-block", "data-block") for f in report.findings):
            return  # it went with its block
        report.add("header-missing", name, "no header: the key \"\" is not there")
        return
    n_shards, endianness, _, producer, min_consumer, refuses = index.header()
    if producer < MIN_PRODUCER:
        report.add(
            "bundle-version", name,
            f"producer version {producer} is below {MIN_PRODUCER}, the least that TensorFlow reads",
            expected=f"at least {MIN_PRODUCER}", seen=producer,
        )  # fmt: skip
    if min_consumer > VERSION:
        report.add(
            "bundle-version", name,
            f"asks for a reader of version {min_consumer}; TensorFlow 2.21 has version {VERSION}",
            expected=f"at most {VERSION}", seen=min_consumer,
        )  # fmt: skip
    if refuses:
        report.add(
            "bundle-version", name, f"disallows readers of version {VERSION}, which TensorFlow has"
        )
    if n_shards < 1:
        report.add(
            "shard-count", name, f"the header says {counted(n_shards, 'shard')}", seen=n_shards,
            expected="at least 1",
        )  # fmt: skip
    if endianness == 1:
        report.add(
            "big-endian", name, "the header says that a big-endian machine wrote it", seen="big",
            expected="little",
        )  # fmt: skip
    elif endianness:
        report.add(
            "header-damaged", name, f"the header gives byte order {endianness}", seen=endianness,
            expected="0 or 1",
        )  # fmt: skip
