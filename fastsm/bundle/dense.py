"""The slices of a partitioned tensor, put together.

Source: tensorflow/core/util/tensor_slice_set.cc, tensor_slice_util.h (2.21).
"""

from __future__ import annotations

from .. import _core
from ..dtypes import SIZES
from ..dtypes import name as dtype_name
from ..errors import CoreError, UnsupportedError
from ..source import from_bytes, joined
from ..text import count
from .variables import MAX_GROWTH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._core import Source
    from .rewrite import BundleRewrite

    #: Of each dimension (start, length), none of them open.
    Box = tuple[tuple[int, int], ...]

_STRING = 7

#: A tensor cut so that it has more stretches than this is not put together: each costs
#: 32 bytes of memory, and some time.
MAX_STRETCHES = 1 << 20

#: Slices are held against each other, which takes time in their square at worst.
MAX_SLICES = 10_000

#: A tensor of no more bytes than this is put together in memory.
SMALL = 64 << 10


class Dense:
    """A tensor made of its slices.

    Attributes:
        place: (shard, offset) where all of it lies already, or None.
        size: Its bytes.
        crc32c: Their checksum, not masked.
        content: The bytes as a shard holds them; empty where they have a place.
    """

    __slots__ = ("content", "crc32c", "place", "size")

    def __init__(self, content: Source, crc32c: int, place: tuple[int, int] | None, size: int):
        self.content = content
        self.crc32c = crc32c
        self.place = place
        self.size = size


def dense(rewrite: BundleRewrite, row: int, parts: list[int]) -> Dense:
    """Put a tensor together.

    Args:
        row: Its entry.
        parts: The entries of its slices, in the order in which it lists them.

    Raises:
        FormatError: The slices do not cover it, overlap, or are not of its dtype.
        UnsupportedError: It is cut into too many stretches, or its elements are objects.
    """
    index = rewrite.bundle.index
    dtype, shape, *_ = index.entry(row)
    if shape is None or any(dim < 0 for dim in shape):
        raise rewrite.error(row, "its shape is not known")
    if len(parts) > MAX_SLICES:
        what = f"a tensor in more than {count(MAX_SLICES)} slices is not put together"
        raise UnsupportedError(rewrite.bundle.path, what)
    boxes = [_box(rewrite, row, shape, extents) for extents in index.slices(row)]
    order = sorted(range(len(parts)), key=lambda i: boxes[i])
    boxes, parts = [boxes[i] for i in order], [parts[i] for i in order]
    _check_cover(rewrite, row, shape, boxes)
    for part in parts:
        if index.entry(part)[0] != dtype:
            other = dtype_name(index.entry(part)[0])
            raise rewrite.error(row, f"is {dtype_name(dtype)}, and a slice of it {other}")
    if sum(index.entry(part)[4] for part in parts) > MAX_GROWTH * rewrite.n_bytes:
        raise rewrite.error(row, "its slices have far more bytes than the shards")
    if dtype == _STRING:
        _check_bytes(rewrite, parts)
        return _strings(rewrite, row, shape, boxes, parts)
    if dtype not in SIZES:
        what = f"slices of {dtype_name(dtype)} are not put together"
        raise UnsupportedError(rewrite.bundle.path, what)
    item = SIZES[dtype]
    for box, part in zip(boxes, parts, strict=True):
        size = index.entry(part)[4]
        if size != _elements(box) * item:
            problem = f"a slice has {count(size)} bytes, not {count(_elements(box) * item)}"
            raise rewrite.error(row, problem)
    if all(box[1:] == boxes[0][1:] for box in boxes):
        return _stacked(rewrite, parts)
    _check_bytes(rewrite, parts)
    return _gathered(rewrite, shape, boxes, parts, item)


def _box(rewrite: BundleRewrite, row: int, shape: tuple[int, ...], extents: Box) -> Box:
    """A slice's extents with the open ones closed."""
    if len(extents) != len(shape):
        raise rewrite.error(row, f"a slice of it has rank {len(extents)}, not {len(shape)}")
    box = tuple(
        (0, dim) if n < 0 else (start, n) for (start, n), dim in zip(extents, shape, strict=True)
    )
    if any(start < 0 or start + n > dim for (start, n), dim in zip(box, shape, strict=True)):
        raise rewrite.error(row, "a slice reaches out of it")
    return box


def _elements(box: Box) -> int:
    n = 1
    for _, length in box:
        n *= length
    return n


def _check_cover(
    rewrite: BundleRewrite, row: int, shape: tuple[int, ...], boxes: list[Box]
) -> None:
    """Slices that do not overlap and have as many elements as the tensor cover it."""
    for i, a in enumerate(boxes):
        for b in boxes[i + 1 :]:
            if b[0][0] >= a[0][0] + a[0][1]:
                break  # they are sorted by their first start
            if all(x < y + m and y < x + n for (x, n), (y, m) in zip(a, b, strict=True)):
                raise rewrite.error(row, "two of its slices overlap")
    total = _elements(tuple((0, dim) for dim in shape))
    if sum(map(_elements, boxes)) != total:
        raise rewrite.error(row, "its slices do not cover it")


def _check_bytes(rewrite: BundleRewrite, parts: list[int]) -> None:
    """Where a new checksum is computed, the old ones must hold: damage would get a true one."""
    for part in parts:
        rewrite.check([part])


def _stacked(rewrite: BundleRewrite, parts: list[int]) -> Dense:
    """Slices along the first axis: end to end they are the tensor."""
    index = rewrite.bundle.index
    crc = at = 0
    place: tuple[int, int] | None = index.entry(parts[0])[2:4]
    first = place or (0, 0)
    for part in parts:
        _, _, shard, offset, size, masked, _ = index.entry(part)
        if (shard, offset) != (first[0], first[1] + at):
            place = None
        crc = _core.crc32c_combine(crc, _core.crc32c_unmask(masked), size)
        at += size
    contents = [rewrite.content(part) for part in parts]
    content = joined((c, 0, c.size) for c in contents) if place is None else from_bytes(b"")
    return Dense(content, crc, place, at)


def _cut(rewrite: BundleRewrite, shape: tuple[int, ...], boxes: list[Box]) -> int:
    """The last axis along which a tensor is cut; behind it all is one stretch."""
    axes = [d for d in range(len(shape)) if any(box[d] != (0, shape[d]) for box in boxes)]
    cut = max(axes, default=0)
    if sum(_elements(box[:cut]) for box in boxes) > MAX_STRETCHES:
        what = f"a tensor in more than {count(MAX_STRETCHES)} stretches is not put together"
        raise UnsupportedError(rewrite.bundle.path, what)
    return cut


def _stretches(
    shape: tuple[int, ...], boxes: list[Box], cut: int
) -> Iterator[tuple[int, int, int, int]]:
    """(offset in the tensor, which slice, offset in it, length), all in elements.

    Args:
        cut: The last axis along which the tensor is cut.
    """
    inner = _elements(tuple((0, dim) for dim in shape[cut + 1 :]))
    for which, box in enumerate(boxes):
        length = box[cut][1] * inner
        at = [start for start, _ in box[:cut]]
        for n in range(_elements(box[:cut])):
            offset = 0
            for d in range(cut):
                offset = offset * shape[d] + at[d]
            yield (offset * shape[cut] + box[cut][0]) * inner, which, n * length, length
            for d in range(cut - 1, -1, -1):
                at[d] += 1
                if at[d] < sum(box[d]):
                    break
                at[d] = box[d][0]


def _gathered(
    rewrite: BundleRewrite, shape: tuple[int, ...], boxes: list[Box], parts: list[int], item: int
) -> Dense:
    cut = _cut(rewrite, shape, boxes)
    contents = [rewrite.content(part) for part in parts]
    content = joined(
        (contents[which], start * item, (start + n) * item)
        for _, which, start, n in sorted(_stretches(shape, boxes, cut))
    )
    try:
        if content.size <= SMALL:
            content = from_bytes(content.read(0, content.size))
        return Dense(content, _core.crc32c_source(content), None, content.size)
    except CoreError as e:
        raise rewrite.error(parts[0], f"its shard {e}") from None


def _strings(
    rewrite: BundleRewrite, row: int, shape: tuple[int, ...], boxes: list[Box], parts: list[int]
) -> Dense:
    """Strings have their lengths before them, so they are written anew."""
    cut = _cut(rewrite, shape, boxes)
    elements = []
    for box, part in zip(boxes, parts, strict=True):
        content = rewrite.content(part)
        try:
            elements.append(_core.string_elements(content, 0, content.size, _elements(box)))
        except CoreError as e:
            raise rewrite.error(row, f"a slice of it {e}") from None
    out: list[bytes] = []
    for _, which, start, n in sorted(_stretches(shape, boxes, cut)):
        out += elements[which][start : start + n]
    data, masked = _core.encode_strings(out)
    return Dense(from_bytes(data), _core.crc32c_unmask(masked), None, len(data))
