"""Findings of the bytes of tensors: checksums, strings, variants, bools.

The core reads; here its work is cut into batches, between which progress is told and a
Ctrl-C is heard.
"""

from __future__ import annotations

import os

from .. import _core
from ..text import count, counted
from .entries import open_shard
from .table import key_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .._core import Source
    from ..bundle.opened import Bundle
    from .entries import Entry
    from .report import Report

    Row = tuple[int, int, int, int, int]
    Result = tuple[str | None, int, int, int, int, int, int]

#: Bytes in a batch: some milliseconds from a warm cache, a twentieth of a second from disk.
BATCH = 32 << 20

#: Entries that overlap may make a small shard long to read: no more than twice over.
MAX_READ = 2


def check_tensors(
    report: Report,
    bundle: Bundle,
    name: Callable[[str], str],
    shards: dict[int, list[Entry]],
    progress: Callable[[int, int], object] | None,
) -> None:
    """Read every tensor, shard after shard, in the order of their bytes.

    Args:
        shards: What `entries.check_entries` returned.
        progress: Called with bytes done and bytes in all.
    """
    total = sum(e.size for entries in shards.values() for e in entries)
    done = 0
    swapped = bundle.index.big_endian
    for shard, entries in sorted(shards.items()):
        file = name(bundle.shard_name(shard))
        opened = open_shard(bundle, shard)
        source = opened.source()
        of_row: dict[Row, list[Entry]] = {}
        for e in entries:
            of_row.setdefault(e.row, []).append(e)
        left = MAX_READ * opened.identity.size + BATCH
        for rows in _batches(list(of_row)):
            n_bytes = sum(row[1] for row in rows)
            if n_bytes > left:
                report.skip(f"{file}: the bytes of tensors that overlap others many times")
                break
            left -= n_bytes
            found = [_check(source, row, swapped) for row in rows if row[1] > BATCH] or (
                _core.check_tensors(source, rows, big_endian=swapped)
            )
            for row, result in zip(rows, found, strict=True):
                if result[0] or result[5]:
                    for e in of_row[row]:
                        _add(report, file, source, e, result, swapped)
            done += sum(row[1] * len(of_row[row]) for row in rows)
            if progress:
                progress(min(done, total), total)
    report.count("tensor_bytes", done)


def _check(source: Source, row: Row, swapped: bool) -> Result:
    """A tensor alone in its batch: plain elements piece by piece, so that a Ctrl-C is heard."""
    offset, size, n, crc, kind = row
    if kind in (_core.STRING, _core.VARIANT):
        return _core.check_tensors(source, [row], big_endian=swapped)[0]
    crc_so_far = n_odd = odd_at = 0
    for at in range(0, size, BATCH):
        piece = min(BATCH, size - at)
        [found] = _core.check_tensors(source, [(offset + at, piece, n, 0, kind)])
        if found[0] not in (None, "CRC"):
            return found
        crc_so_far = _core.crc32c_combine(crc_so_far, found[1], piece)
        odd_at = odd_at if n_odd else found[6]
        n_odd += found[5]
    seen = _core.crc32c_mask(crc_so_far)
    status = None if seen == crc else "CRC"
    return status, crc_so_far, offset, crc, seen, n_odd, odd_at


def _batches(rows: list[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    n_bytes = 0
    for row in rows:
        if batch and (n_bytes + row[1] > BATCH or len(batch) >= 4096):
            yield batch
            batch, n_bytes = [], 0
        batch.append(row)
        n_bytes += row[1]
    if batch:
        yield batch


def _add(
    report: Report, file: str, source: Source, e: Entry, result: Result, swapped: bool
) -> None:
    status, _, place, expected, seen, n_odd, odd_at = result
    if status is None:
        report.add(
            "bool-bytes", file,
            f"{key_words(e.key)}: {counted(n_odd, 'byte')} neither 0 nor 1, the first at "
            f"{count(odd_at)}",
            offset=odd_at, key=e.key, expected="0 or 1",
        )  # fmt: skip
        return
    kind = e.row[4]
    if swapped and kind in (_core.STRING, _core.VARIANT):
        [(little, *_)] = _core.check_tensors(source, [e.row])
        if little is None:
            report.add(
                "byte-order", file, f"{key_words(e.key)}: little-endian, and the header says big",
                offset=e.offset, size=e.size, key=e.key, expected="big", seen="little",
            )  # fmt: skip
            return
    rule = {_core.STRING: "tensor-strings", _core.VARIANT: "tensor-variant"}.get(
        kind, "tensor-checksum"
    )
    offset, size = e.offset, e.size
    want: str | None = None
    have: str | None = None
    if status in ("CRC", "LENGTH_CRC", "ELEMENT_CRC"):
        want, have = (f"{_core.crc32c_unmask(c):08x}" for c in (expected, seen))
        what = {"CRC": "", "LENGTH_CRC": "of its lengths ", "ELEMENT_CRC": "of an element "}
        message = f"crc32c {what[status]}{have}, expected {want}"
        if status == "CRC":
            rule = "tensor-checksum"
        else:
            offset, size = place, 4
    elif status == "LENGTHS":
        want, have = str(expected), str(seen)
        message = f"lengths need {counted(expected, 'byte')}, the entry has {count(seen)}"
    elif status == "VARINT":
        offset, size = place, 1
        message = "a length does not end, or is no number"
    elif status == "OUTSIDE":
        rule, want, have = "entry-range", str(expected), str(seen)
        message = f"needs {counted(expected, 'byte')}, and {count(seen)} are there"
    else:
        rule = "shard-unreadable"
        words = os.strerror(expected) if expected else "the file became shorter meanwhile"
        message = f"cannot be read at byte {count(place)}: {words}"
    report.add(
        rule, file, f"{key_words(e.key)}: {message}", offset=offset, size=size, key=e.key,
        expected=want, seen=have,
    )  # fmt: skip
