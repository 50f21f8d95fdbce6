"""Findings of the bytes of tensors: checksums, strings, variants, bools.

The core reads; here its work is cut into jobs.
"""

from __future__ import annotations

import os

from .. import _core
from ..errors import FormatError, MissingError
from ..text import count, counted
from ..workers import JOB, run
from .entries import open_shard
from .table import key_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .._core import Source
    from ..bundle.opened import Bundle
    from .entries import Entry
    from .report import Report

    Row = tuple[int, int, int, int, int]
    Result = tuple[str | None, int, int, int, int, int, int]

#: Rows in a job.
JOB_ROWS = 4096

#: Bytes read at a time: with 256 KiB it took 1.2 times as long (1.6 GB, warm, Zen 4).
WINDOW = 1 << 20

#: Entries that overlap may make a small shard long to read: no more than twice over.
MAX_READ = 2


class Job:
    """What one call to the core does: some tensors, or a piece of a large one.

    Attributes:
        rows: For the core.
        whole: The tensor that the one row is a piece of, or None.
        n_bytes: How much it reads.
        results: What the core returned, once it is done.
    """

    __slots__ = ("n_bytes", "results", "rows", "whole")

    def __init__(self, rows: list[Row], whole: Row | None = None) -> None:
        self.rows = rows
        self.whole = whole
        self.n_bytes = sum(row[1] for row in rows)
        self.results: list[Result] = []


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
    before = 0
    swapped = bundle.index.big_endian
    for shard, entries in sorted(shards.items()):
        file = name(bundle.shard_name(shard))
        try:
            opened = open_shard(bundle, shard)
        except (MissingError, FormatError) as gone:  # it was there a moment ago
            report.add("shard-unreadable", file, gone.problem)
            continue
        source = opened.source()
        of_row: dict[Row, list[Entry]] = {}
        for e in entries:
            of_row.setdefault(e.row, []).append(e)
        jobs = _jobs(of_row, MAX_READ * opened.identity.size + JOB)
        read = sum(job.n_bytes for job in jobs)
        if read < sum(row[1] for row in of_row):
            report.skip(f"{file}: the bytes of tensors that overlap others many times")

        def told(done: int, before: int = before) -> None:
            if progress:
                progress(min(before + done, total), total)

        _run(source, jobs, swapped, told)
        for row, result in _results(jobs):
            if result[0] or result[5]:
                for e in of_row[row]:
                    _add(report, file, source, e, result, swapped)
        # Bytes that several keys share were read once, and are checked for each.
        before += sum(e.size for e in entries)
        report.count("tensor_bytes", read)
    if progress:
        progress(total, total)


def _jobs(rows: Iterable[Row], most: int) -> list[Job]:
    """The work on a shard in pieces, of at most so many bytes in all."""
    jobs: list[Job] = []
    batch: list[Row] = []
    n_bytes = 0
    for row in rows:
        most -= row[1]
        if most < 0:
            break
        plain = row[4] not in (_core.STRING, _core.VARIANT)
        if batch and (n_bytes + row[1] > JOB or len(batch) >= JOB_ROWS):
            jobs.append(Job(batch))
            batch, n_bytes = [], 0
        if plain and row[1] > JOB:
            # No crc is given: that of the whole is put together.
            offset, size, _, _, kind = row
            for at in range(0, size, JOB):
                piece = min(JOB, size - at)
                jobs.append(Job([(offset + at, piece, piece, 0, kind)], row))
            continue
        batch.append(row)
        n_bytes += row[1]
    if batch:
        jobs.append(Job(batch))
    return jobs


def _run(source: Source, jobs: list[Job], swapped: bool, told: Callable[[int], None]) -> None:
    def do(job: Job) -> None:
        job.results = _core.check_tensors(source, job.rows, big_endian=swapped, window=WINDOW)

    run(jobs, do, told)


def _results(jobs: list[Job]) -> Iterator[tuple[Row, Result]]:
    """What was found of each tensor; the pieces of a large one together."""
    pieces: list[Result] = []
    for i, job in enumerate(jobs):
        if job.whole is None:
            yield from zip(job.rows, job.results, strict=True)
            continue
        pieces += job.results
        if i + 1 == len(jobs) or jobs[i + 1].whole is not job.whole:
            yield job.whole, _joined(job.whole, pieces)
            pieces = []


def _joined(row: Row, pieces: list[Result]) -> Result:
    """The result of a large tensor from those of its pieces, JOB bytes each but the last."""
    offset, size, _, crc, _ = row
    so_far = n_odd = odd_at = 0
    for i, piece in enumerate(pieces):
        if piece[0] not in (None, "CRC"):
            return piece
        so_far = _core.crc32c_combine(so_far, piece[1], min(JOB, size - i * JOB))
        odd_at = odd_at if n_odd else piece[6]
        n_odd += piece[5]
    seen = _core.crc32c_mask(so_far)
    return (None if seen == crc else "CRC"), so_far, offset, crc, seen, n_odd, odd_at


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
