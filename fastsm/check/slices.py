"""Findings of partitioned variables: the slices that an entry lists, against each other
and against the entries that hold them.

Source: tensorflow/core/util/tensor_slice_set.cc (Register, QueryMeta) and
tensor_bundle.cc (GetSliceValue) (2.21).
"""

from __future__ import annotations

from .. import _core, dtypes
from ..bundle import OBJECT_GRAPH_KEY, SLICE_PREFIX
from ..errors import CoreError
from ..text import count, counted, printable
from .table import extent_words, key_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._core import BundleIndex
    from .report import Report

    Extents = tuple[tuple[int, int], ...]
    Box = list[tuple[int, int]]

#: So many slices are looked at, and so many pairs of them held against each other; slices
#: along one axis need a pair each.
MAX_SLICES = 1 << 20
MAX_PAIRS = 1_000_000

#: The DataTypes that TensorFlow puts together from slices: float, double, int32, uint8,
#: int16, int8, complex64, int64, bool, qint8, quint8, qint32, bfloat16, complex128, int4,
#: uint4.
#: Source: tensor_bundle.cc GetSliceValue, HANDLE_COPY.
RESTORABLE = frozenset([1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 18, 29, 30])


def check_slices(report: Report, file: str, index: BundleIndex, keys: list[bytes]) -> None:
    """Look at every partitioned variable, and for slices that none lists."""
    slice_rows = {k: i for i, k in enumerate(keys) if k.startswith(SLICE_PREFIX)}
    listed: set[bytes] = set()
    objects = OBJECT_GRAPH_KEY in keys
    n_slices = 0
    pairs = [MAX_PAIRS]
    for i, key in enumerate(keys):
        dtype, shape, *_, n = index.entry(i)
        if not n or shape is None:
            continue
        if n_slices + n > MAX_SLICES:
            report.skip(f"slices beyond the first {count(n_slices)}")
            return
        try:
            extents = index.slices(i)
        except CoreError as e:
            report.add("entry-damaged", file, f"{key_words(key)}: {e}", key=key)
            continue
        n_slices += n
        variable = _Variable(report, file, key, dtype, shape, pairs)
        variable.check(extents, index, slice_rows)
        listed.update(_core.slice_key(key, e) for e in extents)
        # Without an object graph each slice is restored by itself, which works.
        if dtype not in RESTORABLE and objects:
            report.add(
                "unrestorable-slices", file,
                f"{key_words(key)}: {counted(n, 'slice')} of {dtypes.name(dtype)}, which "
                "TensorFlow does not put together",
                key=key, seen=dtypes.name(dtype),
            )  # fmt: skip
    for key in slice_rows:
        if key in listed:
            continue
        parts = _core.parse_slice_key(key)
        if parts is None:
            report.add("slice-key", file, f"{key_words(key)}: is no slice's key", key=key)
        else:
            report.add(
                "slice-orphan", file, f"{key_words(key)}: no variable lists this slice", key=key
            )
    if n_slices:
        report.count("slices", n_slices)


class _Variable:
    """A partitioned variable that is looked at.

    Args:
        pairs: How many pairs of slices may still be held against each other, in all.
    """

    def __init__(
        self,
        report: Report,
        file: str,
        key: bytes,
        dtype: int,
        shape: tuple[int, ...],
        pairs: list[int],
    ) -> None:
        self.report, self.file, self.key = report, file, key
        self.dtype, self.shape = dtype, shape
        self.pairs = pairs

    def add(self, rule: str, extents: Extents | None, words: str) -> None:
        which = f" {extent_words(extents)}" if extents else ""
        self.report.add(
            rule, self.file, f"{printable(self.key)}{which}: {words}", key=self.key,
            seen=extent_words(extents) if extents else None,
        )  # fmt: skip

    def check(
        self, listed: list[Extents], index: BundleIndex, slice_rows: dict[bytes, int]
    ) -> None:
        boxes: list[tuple[Box, Extents]] = []
        sound = all(n >= 0 for n in self.shape)
        for extents in listed:
            box = self._box(extents) if sound else None
            if box is None:
                sound = False
                continue
            boxes.append((box, extents))
            row = slice_rows.get(_core.slice_key(self.key, extents))
            if row is None:
                self.add("slice-missing", extents, "listed, and not in the index")
            else:
                dtype, shape, *_ = index.entry(row)
                if dtype != self.dtype or shape != tuple(end - start for start, end in box):
                    words = f"stored as {dtypes.name(dtype)} {list(shape or ())}"
                    self.add("slice-shape", extents, f"{words}, which is not what it covers")
        if sound and not self._overlaps(boxes):
            self._check_cover([box for box, _ in boxes])

    def _box(self, extents: Extents) -> Box | None:
        """(start, end) in each dimension, or None with a finding."""
        if len(extents) != len(self.shape):
            words = f"of rank {len(extents)}, and the variable of rank {len(self.shape)}"
            self.add("slice-shape", extents, words)
            return None
        box = []
        for (start, length), n in zip(extents, self.shape, strict=True):
            if length < 0:
                box.append((0, n))
            elif start < 0 or start > n or length > n - start:
                self.add("slice-range", extents, f"reaches out of shape {list(self.shape)}")
                return None
            else:
                box.append((start, start + length))
        return box

    def _overlaps(self, boxes: list[tuple[Box, Extents]]) -> bool:
        """Whether two slices share an element, with a finding for each such slice."""
        if not self.shape or len(boxes) < 2:
            if len(boxes) > 1:
                self.add("slice-overlap", None, f"a scalar in {counted(len(boxes), 'slice')}")
            return len(boxes) > 1
        # Sweep along the axis that is cut into the most pieces: few slices stand side by side.
        axes = range(len(self.shape))
        axis = max(axes, key=lambda d: len({box[d] for box, _ in boxes}))
        open_boxes: list[tuple[Box, Extents]] = []
        found = False
        for box, extents in sorted(boxes, key=lambda b: b[0][axis]):
            open_boxes = [b for b in open_boxes if b[0][axis][1] > box[axis][0]]
            self.pairs[0] -= len(open_boxes)
            if self.pairs[0] < 0:
                self.report.skip(f"{printable(self.key)}: whether its many slices overlap")
                return found
            other = next((b for b in open_boxes if _share(b[0], box)), None)
            if other is not None:
                found = True
                same = other[0] == box
                words = "is listed twice" if same else f"overlaps {extent_words(other[1])}"
                self.add("slice-overlap", extents, words)
            open_boxes.append((box, extents))
        return found

    def _check_cover(self, boxes: list[Box]) -> None:
        """That slices which do not overlap cover all: their elements are as many."""
        covered, elements = sum(map(_volume, boxes)), _volume([(0, n) for n in self.shape])
        if covered != elements:
            words = f"{counted(len(boxes), 'slice')} cover {count(covered)} of {count(elements)}"
            self.add("slice-missing", None, f"{words} elements")


def _share(a: Box, b: Box) -> bool:
    return all(x[0] < y[1] and y[0] < x[1] for x, y in zip(a, b, strict=True))


def _volume(box: Box) -> int:
    n = 1
    for start, end in box:
        n *= end - start
    return n
