"""Findings of what the index says: dtypes, shapes, sizes, places, shards.

Source: tensorflow/core/util/tensor_bundle/tensor_bundle.cc (GetValue, GetSliceValue) and
core/framework/tensor_shape.cc (2.21).
"""

from __future__ import annotations

import os

from .. import _core, dtypes
from ..bundle import SLICE_PREFIX, is_doubling
from ..errors import FormatError, MissingError
from ..source import File
from ..text import count, counted, size
from .slices import check_slices
from .table import key_words, stands_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .._core import BundleIndex
    from ..bundle.opened import Bundle
    from .report import Report

#: Source: core/framework/tensor_shape.h MaxDimensions.
MAX_RANK = 254
MAX_ELEMENTS = (1 << 63) - 1

#: An index of more entries is not looked into; the largest known have some ten thousand.
MAX_ENTRIES = 1 << 20

#: DataTypes whose bytes are not just elements, or not any bytes.
STRING, VARIANT, BOOL = 7, 21, 10
KINDS = {STRING: _core.STRING, VARIANT: _core.VARIANT, BOOL: _core.BOOL}


class Entry:
    """An entry whose bytes can be looked for: all that is said of them is possible.

    Attributes:
        key: As stored.
        offset, size: Where its bytes lie in their shard.
        row: What `_core.check_tensors` takes.
    """

    __slots__ = ("key", "offset", "row", "size")

    def __init__(self, key: bytes, row: tuple[int, int, int, int, int]) -> None:
        self.key = key
        self.offset, self.size = row[:2]
        self.row = row


def check_entries(
    report: Report, bundle: Bundle, name: Callable[[str], str]
) -> dict[int, list[Entry]]:
    """Look at every entry and every shard.

    Args:
        name: A file's name without its folder -> as findings name it.

    Returns:
        Shard -> the entries whose bytes lie in it, by offset; shards that can be read.
    """
    index = bundle.index
    index_name = name(os.path.basename(bundle.prefix) + ".index")
    keys = index.keys()
    shards: dict[int, list[Entry]] = {}
    sound = not any(not harmless for _, _, _, harmless, _ in index.problems())
    if len(keys) > MAX_ENTRIES:
        report.skip(f"{index_name}: {count(len(keys))} entries, more than any checkpoint has")
        return {}
    for i, key in enumerate(keys):
        dtype, shape, shard, offset, n_bytes, crc, n_slices = index.entry(i)
        elements = _check_shape(report, index_name, key, shape)
        known = _check_dtype(report, index_name, key, dtype)
        if n_slices:
            continue
        placed = _check_shard(report, index_name, key, shard, index)
        if offset < 0:
            report.add(
                "entry-range", index_name, f"{key_words(key)}: offset {count(offset)}", key=key,
                expected="at least 0", seen=offset,
            )  # fmt: skip
        elif (
            known
            and elements is not None
            and _check_size(report, index_name, key, dtype, elements, n_bytes)
            and placed
        ):
            kind = KINDS.get(dtype, _core.DENSE)
            row = (offset, n_bytes, elements, crc, kind)
            shards.setdefault(shard, []).append(Entry(key, row))
            continue
        sound = False
    check_slices(report, index_name, index, keys)
    report.count("tensors", sum(not k.startswith(SLICE_PREFIX) for k in keys))
    _check_doubles(report, index_name, bundle)
    return _check_shards(report, bundle, name, shards, sound)


def _check_dtype(report: Report, file: str, key: bytes, dtype: int) -> bool:
    if dtype in dtypes.SIZES or dtype in (STRING, VARIANT):
        return True
    report.add(
        "entry-dtype", file, f"{key_words(key)}: {dtypes.name(dtype)}, which no bundle can hold",
        key=key, seen=dtype,
    )  # fmt: skip
    return False


def _check_shape(
    report: Report, file: str, key: bytes, shape: tuple[int, ...] | None
) -> int | None:
    """The number of elements, or None with a finding."""
    elements = 1
    problem = None
    if shape is None:
        problem = "of unknown rank"
    elif len(shape) > MAX_RANK:
        problem = f"of rank {len(shape)}, above {MAX_RANK}"
    else:
        for n in shape:
            elements *= n
            if n < 0:
                problem = f"with a dimension of {count(n)}"
                break
            if elements > MAX_ELEMENTS:
                problem = "of more elements than a tensor can have"
                break
    if problem is None:
        return elements
    words = shape_words(shape)
    report.add(
        "entry-shape", file, f"{key_words(key)}: shape {words}, {problem}", key=key, seen=words
    )
    return None


def shape_words(shape: tuple[int, ...] | None) -> str:
    """A shape as ``[3, 4]``, cut where it is absurdly long."""
    if shape is None:
        return "unknown"
    more = f", ... ({len(shape)} in all)" if len(shape) > 16 else ""
    return "[" + ", ".join(map(str, shape[:16])) + more + "]"


def _check_size(
    report: Report, file: str, key: bytes, dtype: int, elements: int, n_bytes: int
) -> bool:
    """Whether the size can be right; of strings and variants the bytes tell the rest."""
    item = dtypes.SIZES.get(dtype)
    if item is not None:
        expected, least = item * elements, item * elements
    else:
        # A varint an element, and a checksum: of all lengths, or each element's.
        expected, least = None, elements + 4 if dtype == STRING else 5 * elements
    if n_bytes == expected or (expected is None and n_bytes >= least):
        return True
    words = count(least) if expected is not None else f"at least {count(least)}"
    report.add(
        "entry-size", file,
        f"{key_words(key)}: {count(n_bytes)} bytes; {counted(elements, 'element')} of "
        f"{dtypes.name(dtype)} take {words}",
        key=key, expected=words.replace(",", ""), seen=n_bytes,
    )  # fmt: skip
    return False


def _check_shard(
    report: Report, file: str, key: bytes, shard: int, index: BundleIndex
) -> bool:
    n_shards = index.n_shards
    if 0 <= shard < n_shards:
        return True
    if index.has_header and n_shards > 0:
        report.add(
            "shard-id", file,
            f"{key_words(key)}: in shard {shard}, and the header says {counted(n_shards, 'shard')}",
            key=key, expected=f"0 to {n_shards - 1}", seen=shard,
        )  # fmt: skip
    return False


def _check_doubles(report: Report, file: str, bundle: Bundle) -> None:
    _, doubled, doubled_bytes = bundle.index.doubles()
    if is_doubling(doubled_bytes, bundle.index.total_bytes):
        report.add(
            "doubled-weights", file,
            f"{counted(doubled, 'tensor')} ({size(doubled_bytes)}) "
            f"{'looks' if doubled == 1 else 'look'} stored twice: same size and checksum",
            seen=doubled,
        )  # fmt: skip


# -- shards --


def _check_shards(
    report: Report,
    bundle: Bundle,
    name: Callable[[str], str],
    shards: dict[int, list[Entry]],
    sound: bool,
) -> dict[int, list[Entry]]:
    if not bundle.index.has_header or bundle.n_shards < 1:
        report.skip("shards: the header does not tell how many there are, so not their names")
        return {}
    found: dict[int, list[Entry]] = {}
    for shard, entries in sorted(shards.items()):
        file = name(bundle.shard_name(shard))
        try:
            opened = open_shard(bundle, shard)
        except MissingError as e:
            sound = False
            n = counted(len(entries), "tensor")
            report.add("shard-missing", file, f"{e.problem}; lost: {n}", seen=len(entries))
            continue
        except FormatError as e:
            _unreadable(report, file, e.problem, entries)
            continue
        n_bytes = opened.identity.size
        entries.sort(key=lambda e: (e.offset, e.size))
        if max(e.offset + e.size for e in entries) > n_bytes:
            what = stands_for(opened.source())
            if what is not None:
                _unreadable(report, file, what, entries)
                continue
        inside = _check_ranges(report, file, entries, n_bytes)
        # Where entries are lost there are gaps, which are none.
        _check_layout(report, file, inside, n_bytes, sound and len(inside) == len(entries))
        found[shard] = inside
        report.count("shards")
        report.count("shard_bytes", n_bytes)
    # A shard that damage hides the use of is no stray: taking it away would lose its tensors.
    if sound:
        for stray in bundle.stray_shards():
            report.add("stray-shard", name(stray), "named as a shard; no entry lies in it")
    return found


def _unreadable(report: Report, file: str, problem: str, entries: list[Entry]) -> None:
    report.add("shard-unreadable", file, problem)
    report.skip(f"{file}: {counted(len(entries), 'tensor')} in it")


def open_shard(bundle: Bundle, shard: int) -> File:
    """A shard, open for as long as it is held: a checkpoint may have more shards than a
    process may have files. Raises as `Bundle.shard` does."""
    try:
        return File(bundle.shard_path(shard))
    except (OSError, ValueError):
        return bundle.shard(shard)  # which has the words


def _check_ranges(
    report: Report, file: str, entries: list[Entry], n_bytes: int
) -> list[Entry]:
    inside = []
    for e in entries:
        if e.offset <= n_bytes and e.size <= n_bytes - e.offset:
            inside.append(e)
            continue
        report.add(
            "entry-range", file,
            f"{key_words(e.key)}: the shard ends at {count(n_bytes)}",
            offset=e.offset, size=e.size, key=e.key, expected=f"at most {n_bytes}",
            seen=e.offset + e.size,
        )  # fmt: skip
    return inside


def _check_layout(
    report: Report, file: str, entries: list[Entry], n_bytes: int, complete: bool
) -> None:
    """Overlaps; where all entries are known also gaps, and what lies behind the last."""
    end = gaps = gap_bytes = first_gap = 0
    last: Entry | None = None
    for e in entries:
        if not e.size:
            continue
        if last is not None and (e.offset, e.size) == (last.offset, last.size):
            continue  # two keys that share their bytes
        if e.offset < end and last is not None:
            report.add(
                "entry-overlap", file,
                f"{key_words(e.key)}: bytes {count(e.offset)}..{count(e.offset + e.size)} overlap "
                f"{key_words(last.key)}, which ends at {count(end)}",
                offset=e.offset, size=e.size, key=e.key, expected=f"at least {end}",
                seen=e.offset,
            )  # fmt: skip
        elif e.offset > end:
            first_gap = first_gap if gaps else end
            gaps += 1
            gap_bytes += e.offset - end
        if e.offset + e.size >= end:
            end, last = e.offset + e.size, e
    if gaps and complete:
        report.add(
            "shard-gap", file,
            f"{counted(gap_bytes, 'byte')} in {counted(gaps, 'gap')} between entries",
            offset=first_gap, seen=gap_bytes,
        )  # fmt: skip
    if end < n_bytes and complete:
        report.add(
            "shard-trailing", file, f"{counted(n_bytes - end, 'byte')} behind the last entry",
            offset=end, size=n_bytes - end, seen=n_bytes - end,
        )  # fmt: skip
