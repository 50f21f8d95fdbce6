"""Parts of a tensor that may be larger than memory: read, never mapped.

What maps a file can be killed by whoever cuts it short; what reads it gets an error.
"""

from __future__ import annotations

from bisect import bisect_left

from .variables import BOOL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .variables import Array, Variable

    #: Of a stretch of elements that lie in order: (start, length) of what it is in each
    #: dimension, shard, offset.
    Stretch = tuple[tuple[tuple[int, int], ...], int, int]

#: So many bytes are read at a time: a whole number of elements of any dtype.
WINDOW = 1 << 20


def windows(variable: Variable) -> Iterator[Array]:
    """All elements of a tensor of numbers, each once, as flat arrays of WINDOW bytes at most.

    They come in the order in which they are stored: of a partitioned variable slice by slice,
    small ones together. Raises as `Variable.numpy` does.
    """
    import numpy as np

    stretches = variable.stretches()
    dtype = variable.numpy_dtype()
    left = sum(_n_bytes(stretch, dtype.itemsize) for stretch in stretches)
    raw, n = np.empty(min(WINDOW, left), np.uint8), 0
    for stretch in stretches:
        _, shard, offset = stretch
        end = offset + _n_bytes(stretch, dtype.itemsize)
        while offset < end:
            some = min(end - offset, raw.size - n)
            variable.fill(raw[n : n + some], shard, offset)
            offset, n = offset + some, n + some
            if n < raw.size:
                continue
            if variable.dtype_number == BOOL:
                np.minimum(raw, 1, out=raw)
            yield raw.view(dtype)
            left -= n
            raw, n = np.empty(min(WINDOW, left), np.uint8), 0


def _n_bytes(stretch: Stretch, item: int) -> int:
    for _, length in stretch[0]:
        item *= length
    return item


def pick(variable: Variable, indices: Sequence[Sequence[int]]) -> Array:
    """``numpy()[np.ix_(*indices)]`` of a tensor of numbers, reading little else.

    Args:
        indices: For each dimension which of its indices, ascending, none twice.

    Raises as `Variable.numpy` does.
    """
    import numpy as np

    stretches = variable.stretches()
    dtype = variable.numpy_dtype()
    whole = np.zeros((*map(len, indices), dtype.itemsize), np.uint8)
    covered = np.zeros(whole.shape[:-1], np.bool_)
    for stretch in stretches:
        where: list[range] = []
        for index, (start, length) in zip(indices, stretch[0], strict=True):
            chosen = range(bisect_left(index, start), bisect_left(index, start + length))
            if not chosen:
                break
            where.append(chosen)
        if len(where) < len(indices):
            continue
        region = np.ix_(*where)
        if covered[region].any():
            raise variable.error("its slices overlap")
        covered[region] = True
        inside = [
            [index[n] - start for n in chosen]
            for index, chosen, (start, _) in zip(indices, where, stretch[0], strict=True)
        ]
        whole[region] = _crossings(variable, stretch, inside, dtype.itemsize)
    if not covered.all():
        raise variable.error(f"its slices do not cover {variable.spec()}")
    if variable.dtype_number == BOOL:
        np.minimum(whole, 1, out=whole)
    return whole.reshape(-1).view(dtype).reshape(covered.shape)


def _crossings(variable: Variable, stretch: Stretch, inside: list[list[int]], item: int) -> Array:
    """The bytes of a stretch's elements at these indices; what lies together is read at once."""
    import numpy as np

    extents, shard, offset = stretch
    flat: Array = np.zeros((), np.int64)
    for index, (_, length) in zip(inside, extents, strict=True):
        flat = flat[..., None] * length + np.asarray(index)
    shape, flat = flat.shape, flat.reshape(-1)
    raw = np.empty((flat.size, item), np.uint8)
    ends = [*(np.flatnonzero(np.diff(flat) != 1) + 1).tolist(), flat.size]
    start = 0
    for end in ends:
        variable.fill(raw[start:end], shard, offset + int(flat[start]) * item)
        start = end
    return raw.reshape(*shape, item)
